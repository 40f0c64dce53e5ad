"""One image in, its global descriptor and local features out."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.data.decoder import UnreadableImageError
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.export.metadata import ExportMetadata, load_metadata
from delg_tf.export.selection import select_features
from delg_tf.extraction.image_extractor import (
    ImageExtractor,
    ImageFeatures,
    PreparedImage,
    too_small,
)
from delg_tf.extraction.images import (
    LoadedImage,
    resize_image,
    resized_size,
)
from delg_tf.extraction.post_processing import (
    Pca,
    aggregate_scales,
    load_pca,
    post_process,
)
from delg_tf.extraction.runtimes.base import GLOBAL_OUTPUTS, LOCAL_OUTPUTS
from delg_tf.extraction.runtimes.load import load_model
from delg_tf.features.local_features import LocalFeatures
from delg_tf.protos import delf_config_pb2

_Thresholds = delf_config_pb2.DelfLocalFeatureConfig


class Extractor(ImageExtractor):
    """A loaded model with an extraction configuration.

    Args:
        config: what to extract.
        runtime: see `runtimes.load.load_model`.
        precision: likewise.

    Raises:
        InputError: the model is missing or does not give what is asked for.
    """

    def __init__(
        self,
        config: delf_config_pb2.DelfConfig,
        runtime: str = "auto",
        precision: str = "auto",
    ):
        self._config = config
        path = pathlib.Path(config.model_path)
        outputs: tuple[str, ...] = ()
        if config.use_local_features:
            outputs += LOCAL_OUTPUTS
        if config.use_global_features:
            outputs += GLOBAL_OUTPUTS
        self._model = load_model(
            path, config.is_tf2_exported, outputs, runtime, precision
        )
        self.metadata: ExportMetadata | None = load_metadata(path)
        self._threshold = self._score_threshold(path)
        # By the output that they are for.
        self._pca: dict[str, Pca] = {}
        if config.use_local_features:
            self._load_pca("features", config.delf_local_config)
        if config.use_global_features:
            self._load_pca("global_descriptors", config.delf_global_config)

    @property
    def runtime(self) -> tuple[str, str]:
        """What runs the model, and in which precision."""
        return self._model.runtime

    @property
    def bytes_per_pixel(self) -> int:
        """Memory for a pixel of the pyramid's largest level, about."""
        return self._model.bytes_per_pixel

    @property
    def max_image_size(self) -> int:
        """Longest side of a prepared image, by the configuration."""
        return self._config.max_image_size

    def largest_level(self, size: tuple[int, int]) -> int:
        """Pixels of the pyramid's largest level.

        Args:
            size: height and width of a prepared image.
        """
        scale = float(max(self._inputs()["input_scales"]))
        return round(size[0] * size[1] * scale**2)

    def prepare(self, image: LoadedImage) -> PreparedImage:
        """Resizes an image by the configuration's limits.

        It needs no model: other threads may do it meanwhile.

        Raises:
            UnreadableImageError: a level of the pyramid would have more than
                `MAX_PIXELS`.
        """
        size = resized_size(
            image.pixels.shape[:2], self._config, image.resize_factor
        )
        scale = max(self._config.image_scales)
        if size[0] * size[1] * scale**2 > MAX_PIXELS and not too_small(size):
            raise _too_large(size, scale)
        pixels, factors = resize_image(
            image.pixels, self._config, image.resize_factor
        )
        return PreparedImage(pixels, factors, image.offset)

    def extract_batch(
        self, images: Sequence[PreparedImage]
    ) -> list[ImageFeatures]:
        """Extracts the features of images of one size.

        Args:
            images: as `prepare` gives them.

        Returns:
            Those of each; they do not depend on the others. Locations are in
            pixels of the whole original image (of the resized one with
            `use_resized_coordinates`).

        Raises:
            UnreadableImageError: the device's memory is not enough.
        """
        size = images[0].pixels.shape[:2]
        if too_small(size):
            return [self._nothing() for _ in images]
        try:
            outputs = self._model.run_batch(
                [image.pixels for image in images], self._inputs()
            )
        except tf.errors.ResourceExhaustedError as error:
            raise _too_large(size, max(self._config.image_scales)) from error
        return [self._features(*pair) for pair in zip(outputs, images)]

    def _features(
        self, outputs: dict[str, np.ndarray], image: PreparedImage
    ) -> ImageFeatures:
        for output in self._pca:
            # Not every model tells before.
            self._check_pca(output, outputs[output].shape[-1])
        vector = local = None
        if self._config.use_global_features:
            vector = aggregate_scales(
                outputs["global_descriptors"],
                self._pca.get("global_descriptors"),
            )
        if self._config.use_local_features:
            local = self._local_features(outputs, image.factors, image.offset)
        return ImageFeatures(vector, local)

    def _inputs(self) -> dict[str, np.ndarray]:
        """All inputs but the image."""
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
        number = config.delf_local_config.max_feature_num
        if config.delf_local_config.iou_threshold < 1:
            # All of them; `_select` chooses.
            number = np.iinfo(np.int32).max
        return {
            "input_scales": np.array(scales, np.float32),
            "input_max_feature_num": np.array(number, np.int32),
            "input_abs_thres": np.array(self._threshold, np.float32),
            "input_global_scales_ind": np.array(indices, np.int32),
        }

    def _select(self, outputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The local outputs, thinned out by `iou_threshold`.

        A model does by itself what was fixed when it was exported, which is
        nothing in the released ones. The boxes are compared in the resized
        image.
        """
        local = self._config.delf_local_config
        parts = [outputs[name] for name in LOCAL_OUTPUTS]
        if local.iou_threshold >= 1:
            return parts
        chosen = select_features(
            outputs["boxes"],
            outputs["scores"].reshape(-1),
            local.max_feature_num,
            local.iou_threshold,
        ).numpy()
        return [part[chosen] for part in parts]

    def _local_features(
        self,
        outputs: dict[str, np.ndarray],
        factors: tuple[float, float],
        offset: tuple[int, int],
    ) -> LocalFeatures:
        boxes, descriptors, scales, scores = self._select(outputs)
        locations = (boxes[:, :2] + boxes[:, 2:]) / 2
        if not self._config.delf_local_config.use_resized_coordinates:
            # Pixel centres; the official code scales about the first one's.
            half = 0.0 if self._is_official else 0.5
            locations = (locations + half) / np.array(factors) - half
            locations += np.array(offset)
            # The official code leaves the scale in the resized image's pixels.
            scales = scales / np.sqrt(factors[0] * factors[1])
        return LocalFeatures(
            locations=locations,
            descriptors=post_process(descriptors, self._pca.get("features")),
            scales=scales,
            attention=scores.reshape(-1),
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
        output: str,
        config: delf_config_pb2.DelfLocalFeatureConfig
        | delf_config_pb2.DelfGlobalFeatureConfig,
    ) -> None:
        if config.use_pca:
            self._pca[output] = load_pca(config.pca_parameters)
            self._check_pca(output, self._model.depth(output))

    def _check_pca(self, output: str, depth: int | None) -> None:
        length = len(self._pca[output].mean)
        if depth not in (None, length):
            raise InputError(
                f"`pca_parameters` are for descriptors of {length} numbers; "
                f"{output!r} of {self._config.model_path} have {depth}."
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


def _too_large(size: tuple[int, int], scale: float) -> UnreadableImageError:
    return UnreadableImageError(
        f"{size[1]} x {size[0]} pixels at scale {scale:g} are too much for the "
        "network; set `max_image_size` in the configuration"
    )
