"""What is extracted for an evaluation, and how it is stored."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.extraction.config import load_config
from delg_tf.extraction.outputs import extraction_sink
from delg_tf.features.storage.base import FeatureSink
from delg_tf.protos import delf_config_pb2

# Of the DELG paper, section 4.1: seven scales for local features, of which
# the middle three for global ones.
_SCALES = (0.25, 0.35355338, 0.5, 0.70710677, 1.0, 1.4142135, 2.0)
_GLOBAL_SCALES = (3, 4, 5)
STORE_FILE = "features.arrows"


@dataclasses.dataclass(frozen=True)
class ExtractionSettings:
    """How images become features.

    Attributes:
        config: model, scales, thresholds.
        runtime: what runs the network; see `extraction.flags`.
        precision: of its products; likewise.
        batch_size: images of one size that go through it together.
        local_format: of local features; None: official files.
        global_format: of global descriptors, if they are not official.
        single_file: one store an image set in place of a file an image.
        run_options: further arguments of `run_extraction`.
    """

    config: delf_config_pb2.DelfConfig
    runtime: str = "auto"
    precision: str = "auto"
    batch_size: int = 1
    local_format: str | None = None
    global_format: str = "float32"
    single_file: bool = False
    run_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        compact = self.single_file or self.local_format is not None
        if not compact and self.global_format != "float32":
            raise InputError(
                "Official files are float32: --global_format needs "
                "--local_format or --single_file_features."
            )

    @property
    def formats(self) -> dict[str, Any]:
        """How features are stored, by name."""
        return {
            "local_format": self.local_format,
            "global_format": self.global_format,
            "single_file": self.single_file,
        }

    def without_local_features(self) -> "ExtractionSettings":
        """Returns the same for global descriptors alone."""
        config = delf_config_pb2.DelfConfig()
        config.CopyFrom(self.config)
        config.use_local_features = False
        return dataclasses.replace(self, config=config)

    def place(self, folder: pathlib.Path) -> pathlib.Path:
        """Returns where the features lie in the folder of an image set."""
        return folder / STORE_FILE if self.single_file else folder / "files"

    def open_sink(self, folder: pathlib.Path) -> FeatureSink:
        """Opens the features in the folder of an image set for writing."""
        place = self.place(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return extraction_sink(
            self.config,
            None if self.single_file else place,
            place if self.single_file else None,
            self.local_format,
            self.global_format,
        )

    def make_extractor(self) -> Any:
        """Returns what makes the `Extractor` of a configuration."""
        return functools.partial(
            _load_extractor, runtime=self.runtime, precision=self.precision
        )


def evaluation_config(
    extraction: PathLike | None, model: PathLike | None
) -> delf_config_pb2.DelfConfig:
    """Returns the configuration of an extraction.

    Args:
        extraction: its file (text `DelfConfig`); None: the paper's settings,
            which need an export of ours.
        model: folder of the export; None: that of the file.

    Raises:
        InputError: neither is given, or one is missing or damaged.
    """
    if extraction:
        config = load_config(extraction, model)
    elif model:
        config = _paper_config(model)
    else:
        raise InputError(
            "Pass --model (folder of an export) or --extraction (a "
            "configuration with `model_path`)."
        )
    existing_directory(config.model_path, "model")
    return config


def _paper_config(model: PathLike) -> delf_config_pb2.DelfConfig:
    config = delf_config_pb2.DelfConfig(
        model_path=str(model),
        is_tf2_exported=True,
        image_scales=_SCALES,
        max_image_size=1024,
        use_local_features=True,
        use_global_features=True,
    )
    local = config.delf_local_config
    local.use_pca = False
    local.max_feature_num = 1000
    local.use_model_score_threshold = (
        delf_config_pb2.DelfLocalFeatureConfig.MEDIAN
    )
    config.delf_global_config.use_pca = False
    config.delf_global_config.image_scales_ind.extend(_GLOBAL_SCALES)
    return config


def _load_extractor(
    config: delf_config_pb2.DelfConfig, runtime: str, precision: str
) -> Any:
    # Loads TensorFlow, which finished features do without.
    from delg_tf.extraction.extractor import Extractor

    return Extractor(config, runtime=runtime, precision=precision)
