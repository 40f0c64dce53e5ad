"""Exports of ours, run level by level on a batch of images."""

from collections.abc import Mapping, Sequence

import numpy as np

from delg_tf.export.metadata import ExportMetadata
from delg_tf.extraction.levels.base import LevelRuntime
from delg_tf.extraction.levels.pyramid import Pyramid, PyramidPlan, RawFeatures
from delg_tf.extraction.runtimes.base import (
    GLOBAL_OUTPUTS,
    LOCAL_OUTPUTS,
    FeatureModel,
)


class LevelsModel(FeatureModel):
    """Runs the pyramid itself, and the network by any runtime.

    Args:
        metadata: of the export.
        runtime: with the export's level functions loaded.
        outputs: to be asked for.
    """

    def __init__(
        self,
        metadata: ExportMetadata,
        runtime: LevelRuntime,
        outputs: Sequence[str],
    ):
        super().__init__(outputs)
        self._metadata = metadata
        self._runtime = runtime
        self.runtime = runtime.name, runtime.precision
        self.bytes_per_pixel = runtime.bytes_per_pixel
        self._local = set(outputs) >= set(LOCAL_OUTPUTS)
        self._global = set(outputs) >= set(GLOBAL_OUTPUTS)

    def depth(self, output: str) -> int | None:
        """See `FeatureModel.depth`."""
        return self._runtime.depths.get(output)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FeatureModel.run`."""
        return self.run_batch([inputs["input_image"]], inputs)[0]

    def run_batch(
        self, images: Sequence[np.ndarray], inputs: Mapping[str, np.ndarray]
    ) -> list[dict[str, np.ndarray]]:
        """See `FeatureModel.run_batch`; images of one size go together."""
        scales = tuple(inputs["input_scales"].tolist())
        plan = PyramidPlan(
            scales=scales,
            local_scales=tuple(range(len(scales))) if self._local else (),
            global_scales=(
                tuple(inputs["input_global_scales_ind"].tolist())
                if self._global
                else ()
            ),
            max_features=int(inputs["input_max_feature_num"]),
            threshold=float(inputs["input_abs_thres"]),
        )
        pyramid = Pyramid(self._runtime, self._metadata, plan)
        return [self._outputs(features) for features in pyramid.run(images)]

    def _outputs(self, features: RawFeatures) -> dict[str, np.ndarray]:
        outputs = {
            "boxes": features.boxes,
            "features": features.descriptors,
            "scales": features.scales,
            "scores": features.scores[:, np.newaxis],
            "global_descriptors": features.vectors,
        }
        return {name: outputs[name] for name in self.output_names}
