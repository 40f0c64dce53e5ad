"""What is measured: the rows of the paper's table 6."""

import dataclasses

from delg_tf.protos import delf_config_pb2

GLOBAL_SCALES = (0.70710677, 1.0, 1.4142135)
SEVEN_SCALES = (0.25, 0.35355338, 0.5, *GLOBAL_SCALES, 2.0)
MAX_FEATURES = 1000
FLOAT_BYTES = 4
# Of a local feature beside its descriptor: y, x, scale and score.
_GEOMETRY_BYTES = 4 * FLOAT_BYTES


@dataclasses.dataclass(frozen=True)
class Case:
    """A way to extract features.

    Attributes:
        title: its row.
        kind: of the export.
        scales: of the pyramid.
        global_scales: indices of those with global descriptors.
    """

    title: str
    kind: str
    scales: tuple[float, ...]
    global_scales: tuple[int, ...]

    @property
    def has_local(self) -> bool:
        """Whether local features are extracted."""
        return self.kind != "global"

    def config(self, model_path: str, size: int) -> delf_config_pb2.DelfConfig:
        """The configuration that extracts so."""
        config = delf_config_pb2.DelfConfig(
            model_path=model_path,
            image_scales=self.scales,
            max_image_size=size,
            use_local_features=self.has_local,
            use_global_features=self.kind != "local",
            is_tf2_exported=True,
        )
        local, whole = config.delf_local_config, config.delf_global_config
        local.use_pca = whole.use_pca = False
        local.max_feature_num = MAX_FEATURES
        local.score_threshold = 0.0
        whole.image_scales_ind.extend(self.global_scales)
        return config

    def bytes(self, global_dim: int, local_dim: int) -> int:
        """Size of an image's features in float32."""
        total = 0
        if self.kind != "local":
            total += FLOAT_BYTES * global_dim
        if self.has_local:
            feature = FLOAT_BYTES * local_dim + _GEOMETRY_BYTES
            total += MAX_FEATURES * feature
        return total


GLOBAL = Case("global only, 3 scales", "global", GLOBAL_SCALES, (0, 1, 2))
LOCAL_3 = Case("local only, 3 scales", "local", GLOBAL_SCALES, ())
LOCAL_7 = Case("local only, 7 scales", "local", SEVEN_SCALES, ())
JOINT_3 = Case(
    "joint, 3 local scales", "local_and_global", GLOBAL_SCALES, (0, 1, 2)
)
JOINT_7 = Case(
    "joint, 7 local scales", "local_and_global", SEVEN_SCALES, (3, 4, 5)
)
CASES = (GLOBAL, LOCAL_3, LOCAL_7, JOINT_3, JOINT_7)
# Rows that are sums: two models that share nothing.
SEPARATE = {
    "separate, 3 local scales": (GLOBAL, LOCAL_3),
    "separate, 7 local scales": (GLOBAL, LOCAL_7),
}
