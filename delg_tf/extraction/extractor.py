"""One image in, its global descriptor and local features out."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.export.metadata import ExportMetadata, load_metadata
from delg_tf.extraction.images import LoadedImage, resize_image
from delg_tf.extraction.local_features import LocalFeatures
from delg_tf.extraction.post_processing import (
    Pca,
    aggregate_scales,
    load_pca,
    post_process,
)
from delg_tf.protos import delf_config_pb2

# Smaller images give nothing, as in the official code.
_MIN_SIDE = 10
_Thresholds = delf_config_pb2.DelfLocalFeatureConfig


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFeatures:
    """Features of one image.

    Attributes:
        global_descriptor: float32 `[D]`, unit length; `[0]` for an image that
            is too small; None if not asked for.
        local: unit descriptors by falling attention; None if not asked for.
    """

    global_descriptor: np.ndarray | None
    local: LocalFeatures | None


class Extractor:
    """A loaded model with an extraction configuration.

    Args:
        config: what to extract.

    Raises:
        InputError: the model is missing or does not give what is asked for.
    """

    def __init__(self, config: delf_config_pb2.DelfConfig):
        self._config = config
        path = pathlib.Path(config.model_path)
        if not (path / "saved_model.pb").is_file():
            raise InputError(
                f"`model_path`: {path} is no SavedModel folder (it has no "
                "saved_model.pb). tools/export_model.py makes one."
            )
        # Kept alive: the signature alone does not own its variables.
        try:
            self._model = tf.saved_model.load(str(path))
            self._run = self._model.signatures["serving_default"]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise InputError(
                f"The model {path} cannot be loaded, or has no signature "
                f"'serving_default': {error}"
            ) from error
        self.metadata: ExportMetadata | None = load_metadata(path)
        self._check_signature(path)
        self._threshold = self._score_threshold(path)
        local, globl = config.delf_local_config, config.delf_global_config
        self._local_pca = self._global_pca = None
        if config.use_local_features and local.use_pca:
            self._local_pca = self._load_pca(local, "features")
        if config.use_global_features and globl.use_pca:
            self._global_pca = self._load_pca(globl, "global_descriptors")

    def extract(self, image: LoadedImage) -> ImageFeatures:
        """Extracts the features of one image.

        Args:
            image: of any size; resized by the configuration's limits.

        Returns:
            The features. Locations are in pixels of the whole original image
            (of the resized one with `use_resized_coordinates`).
        """
        pixels, factors = resize_image(
            image.pixels, self._config, image.resize_factor
        )
        if min(pixels.shape[:2]) < _MIN_SIDE:
            return self._nothing()
        outputs = self._run(**self._inputs(pixels))
        vector = local = None
        if self._config.use_global_features:
            vector = aggregate_scales(
                outputs["global_descriptors"].numpy(), self._global_pca
            )
        if self._config.use_local_features:
            local = self._local_features(outputs, factors, image.offset)
        return ImageFeatures(vector, local)

    def _inputs(self, pixels: np.ndarray) -> dict[str, tf.Tensor]:
        config = self._config
        scales = list(config.image_scales)
        indices = list(config.delf_global_config.image_scales_ind)
        indices = indices or list(range(len(scales)))
        if config.use_local_features and not config.use_global_features:
            indices = []
        if config.use_global_features and not config.use_local_features:
            # Levels that no global descriptor needs are left out.
            scales = [scales[index] for index in indices]
            indices = list(range(len(scales)))
        values = {
            "input_image": tf.constant(pixels),
            "input_scales": tf.constant(scales, tf.float32),
            "input_max_feature_num": tf.constant(
                config.delf_local_config.max_feature_num, tf.int32
            ),
            "input_abs_thres": tf.constant(self._threshold, tf.float32),
            "input_global_scales_ind": tf.constant(indices, tf.int32),
        }
        wanted = self._run.structured_input_signature[1]
        return {name: values[name] for name in wanted}

    def _local_features(
        self,
        outputs: dict[str, tf.Tensor],
        factors: tuple[float, float],
        offset: tuple[int, int],
    ) -> LocalFeatures:
        boxes = outputs["boxes"].numpy()
        locations = (boxes[:, :2] + boxes[:, 2:]) / 2
        scales = outputs["scales"].numpy()
        if not self._config.delf_local_config.use_resized_coordinates:
            # Pixel centres; the official code scales about the first one's.
            half = 0.0 if self._is_official else 0.5
            locations = (locations + half) / np.array(factors) - half
            locations += np.array(offset)
            # The official code leaves the scale in the resized image's pixels.
            scales = scales / np.sqrt(factors[0] * factors[1])
        return LocalFeatures(
            locations=locations,
            descriptors=post_process(
                outputs["features"].numpy(), self._local_pca
            ),
            scales=scales,
            attention=outputs["scores"].numpy()[:, 0],
            orientations=np.zeros(len(boxes)),
        )

    def _nothing(self) -> ImageFeatures:
        config = self._config
        return ImageFeatures(
            np.zeros(0, np.float32) if config.use_global_features else None,
            LocalFeatures.empty(0) if config.use_local_features else None,
        )

    @property
    def _is_official(self) -> bool:
        """Whether locations follow the official code's convention."""
        return self.metadata is None or self.metadata.keypoints == "official"

    def _load_pca(
        self,
        config: delf_config_pb2.DelfLocalFeatureConfig
        | delf_config_pb2.DelfGlobalFeatureConfig,
        output: str,
    ) -> Pca:
        pca = load_pca(config.pca_parameters)
        depth = self._run.structured_outputs[output].shape[-1]
        if depth not in (None, len(pca.mean)):
            raise InputError(
                f"{config.pca_parameters.mean_path} is for descriptors of "
                f"{len(pca.mean)} numbers; the model's {output} have {depth}."
            )
        return pca

    def _check_signature(self, path: pathlib.Path) -> None:
        given = self._run.structured_outputs
        config = self._config
        for wanted, name in (
            (config.use_local_features, "features"),
            (config.use_global_features, "global_descriptors"),
        ):
            if wanted and name not in given:
                raise InputError(
                    f"The model {path} does not give {name!r}, only "
                    f"{sorted(given)}. Change `use_local_features` and "
                    "`use_global_features`, or export another --kind."
                )

    def _score_threshold(self, path: pathlib.Path) -> float:
        local = self._config.delf_local_config
        if (
            local.use_model_score_threshold == _Thresholds.NONE
            or not self._config.use_local_features
        ):
            return local.score_threshold
        if self.metadata is None:
            raise InputError(
                f"The model {path} carries no thresholds; set "
                "`score_threshold` and leave out `use_model_score_threshold`."
            )
        if local.use_model_score_threshold == _Thresholds.MEDIAN:
            return self.metadata.attention_median
        return self.metadata.attention_percentile_75
