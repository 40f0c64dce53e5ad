"""The exported computations, with the official signatures.

Inputs and outputs are named and shaped as those of the official TF2 exports
(`export_local_model.py`, `export_local_and_global_model.py`,
`export_global_model.py`), so either side's programs run either side's models.
"""

import types

import tensorflow as tf

from delg_tf.data.augmentation import normalise
from delg_tf.export.levels import (
    global_outputs,
    level_functions,
    local_outputs,
)
from delg_tf.export.pyramid import cell_boxes, level_size, smallest_level
from delg_tf.export.selection import select_features
from delg_tf.export.serving import ServingPlan, serving_function
from delg_tf.models.delg import Delg

_IMAGE = tf.TensorSpec([None, None, 3], tf.uint8, "input_image")
_SCALES = tf.TensorSpec([None], tf.float32, "input_scales")
_MAX_FEATURES = tf.TensorSpec([], tf.int32, "input_max_feature_num")
_THRESHOLD = tf.TensorSpec([], tf.float32, "input_abs_thres")
_GLOBAL_INDICES = tf.TensorSpec([None], tf.int32, "input_global_scales_ind")


class _Exported(tf.Module):
    """Common parts; carries the variables that the computation needs.

    The layers themselves are kept out of TensorFlow's sight: it would store
    each one's own functions as well, which nobody calls, and so make the
    model twice as large and exporting several times slower.
    """

    def __init__(
        self,
        model: Delg,
        with_local: bool,
        with_global: bool,
        iou_threshold: float = 1.0,
        exact_keypoints: bool = True,
    ):
        super().__init__()
        self._iou_threshold = iou_threshold
        self._exact = exact_keypoints
        self._smallest = smallest_level(model.trunk)
        self._depth = self._dim = 0
        layers = {"trunk": model.trunk}
        if with_local:
            layers["attention"] = model.attention
            self._depth = model.trunk.output["block3"].shape[-1]
            if model.local_reduction is not None:
                layers["encoder"] = model.local_reduction.encoder
                self._depth = model.config.autoencoder_dim
        if with_global:
            layers["conv5"] = model.conv5
            layers["pooling"] = model.pooling
            layers["whitening"] = model.whitening
            self._dim = model.config.embedding_dim
        self._layers = types.SimpleNamespace(**layers)
        # Beside the official signature; see `levels`.
        self.levels = level_functions(self._layers, with_local, with_global)
        self.model_variables = [
            variable
            for layer in layers.values()
            for variable in layer.variables
        ]

    def serving(
        self,
        scales: tuple[float, ...],
        global_scales: tuple[int, ...],
        max_features: int,
        threshold: float,
    ) -> tf.types.experimental.GenericFunction:
        """The function of a batch of images; see `serving_function`.

        Args:
            scales: of the pyramid.
            global_scales: indices of those that are pooled.
            max_features: local features of an image, at most.
            threshold: least attention score of one.
        """
        plan = ServingPlan(
            scales=scales,
            local_scales=tuple(range(len(scales))) if self._depth else (),
            global_scales=global_scales if self._dim else (),
            max_features=max_features,
            threshold=threshold,
            iou_threshold=self._iou_threshold,
            exact_keypoints=self._exact,
            smallest=self._smallest,
        )
        return serving_function(self._layers, self.levels, plan)

    def _blocks(
        self, image: tf.Tensor, scale: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The trunk's outputs at one scale, and the level's size."""
        size = level_size(tf.shape(image)[:2], scale, self._smallest)
        level = tf.image.resize(image, size, method="bilinear")
        return self._layers.trunk(level[tf.newaxis], training=False), size

    def _local(
        self,
        blocks: dict[str, tf.Tensor],
        image: tf.Tensor,
        level: tf.Tensor,
        scale: tf.Tensor,
        threshold: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Boxes, descriptors, scales and scores of a level's features."""
        outputs = local_outputs(self._layers, blocks)
        scores = tf.reshape(outputs["scores"], [-1])
        kept = tf.where(scores >= threshold)[:, 0]
        descriptors = tf.reshape(outputs["descriptors"], [-1, self._depth])
        boxes = cell_boxes(
            self._layers.trunk,
            tf.shape(image)[:2],
            level,
            scale,
            self._exact,
        )
        boxes = tf.gather(tf.reshape(boxes, [-1, 4]), kept)
        # Stored as 1 / scale: pixels of the image for one of the level.
        scales = tf.fill([tf.shape(kept)[0]], 1.0 / scale)
        return (
            boxes,
            tf.gather(descriptors, kept),
            scales,
            tf.gather(scores, kept),
        )

    def _extract(
        self,
        image: tf.Tensor,
        scales: tf.Tensor,
        max_features: tf.Tensor,
        threshold: tf.Tensor,
        global_indices: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Runs all levels, each only as far as it is needed.

        Returns:
            Local boxes, descriptors, scales, scores of all levels, selected;
            and the global descriptors [G, D] of `global_indices`.
        """
        image = normalise(image)
        local = [
            tf.zeros([0, 4]),
            tf.zeros([0, self._depth]),
            tf.zeros([0]),
            tf.zeros([0]),
        ]
        shapes = [tf.TensorShape([None, *part.shape[1:]]) for part in local]

        def body(
            index: tf.Tensor, local: list[tf.Tensor], vectors: tf.Tensor
        ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
            blocks, level = self._blocks(image, scales[index])
            if self._depth:
                new = self._local(
                    blocks, image, level, scales[index], threshold
                )
                local = [tf.concat(pair, 0) for pair in zip(local, new)]
            if self._dim:
                vector = tf.cond(
                    tf.reduce_any(global_indices == index),
                    lambda: global_outputs(self._layers, blocks)[
                        "global_descriptors"
                    ],
                    lambda: tf.zeros([1, self._dim]),
                )
                vectors = tf.concat([vectors, vector], 0)
            return index + 1, local, vectors

        _, local, vectors = tf.while_loop(
            lambda index, *_: index < tf.shape(scales)[0],
            body,
            (tf.constant(0), local, tf.zeros([0, self._dim])),
            shape_invariants=(
                tf.TensorShape([]),
                shapes,
                tf.TensorShape([None, self._dim]),
            ),
            parallel_iterations=1,
        )
        chosen = select_features(
            local[0], local[3], max_features, self._iou_threshold
        )
        local = [tf.gather(part, chosen) for part in local]
        return local, tf.gather(vectors, global_indices)


def _named(local: list[tf.Tensor]) -> dict[str, tf.Tensor]:
    boxes, features, scales, scores = local
    return {
        "boxes": boxes,
        "features": features,
        "scales": scales,
        "scores": scores[:, tf.newaxis],
    }


class LocalModule(_Exported):
    """Local features only; conv5 is not part of it."""

    def __init__(
        self,
        model: Delg,
        iou_threshold: float = 1.0,
        exact_keypoints: bool = True,
    ):
        super().__init__(model, True, False, iou_threshold, exact_keypoints)

    @tf.function(input_signature=[_IMAGE, _SCALES, _MAX_FEATURES, _THRESHOLD])
    def extract(
        self,
        input_image: tf.Tensor,
        input_scales: tf.Tensor,
        input_max_feature_num: tf.Tensor,
        input_abs_thres: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Returns boxes, features (raw descriptors), scales and scores."""
        local, _ = self._extract(
            input_image,
            input_scales,
            input_max_feature_num,
            input_abs_thres,
            tf.zeros([0], tf.int32),
        )
        return _named(local)


class LocalAndGlobalModule(_Exported):
    """Local features, and raw global descriptors of chosen scales."""

    def __init__(
        self,
        model: Delg,
        iou_threshold: float = 1.0,
        exact_keypoints: bool = True,
    ):
        super().__init__(model, True, True, iou_threshold, exact_keypoints)

    @tf.function(
        input_signature=[
            _IMAGE,
            _SCALES,
            _MAX_FEATURES,
            _THRESHOLD,
            _GLOBAL_INDICES,
        ]
    )
    def extract(
        self,
        input_image: tf.Tensor,
        input_scales: tf.Tensor,
        input_max_feature_num: tf.Tensor,
        input_abs_thres: tf.Tensor,
        input_global_scales_ind: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Returns what `LocalModule` does, and `global_descriptors` [G, D]."""
        local, vectors = self._extract(
            input_image,
            input_scales,
            input_max_feature_num,
            input_abs_thres,
            input_global_scales_ind,
        )
        return _named(local) | {"global_descriptors": vectors}


class GlobalModule(_Exported):
    """Raw global descriptors of chosen scales."""

    def __init__(self, model: Delg):
        super().__init__(model, False, True)

    @tf.function(input_signature=[_IMAGE, _SCALES, _GLOBAL_INDICES])
    def extract(
        self,
        input_image: tf.Tensor,
        input_scales: tf.Tensor,
        input_global_scales_ind: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Returns `global_descriptors` [G, D]."""
        # Only the scales asked for; the rest are not even resized.
        scales = tf.gather(input_scales, input_global_scales_ind)
        _, vectors = self._extract(
            input_image,
            scales,
            tf.constant(0),
            tf.constant(0.0),
            tf.range(tf.shape(scales)[0]),
        )
        return {"global_descriptors": vectors}


class PooledGlobalModule(_Exported):
    """One global descriptor from fixed scales, for a picture alone.

    As the paper writes it, each scale's descriptor is L2-normalised before
    they are pooled; the official exporter leaves that out.

    Args:
        model: the network.
        scales: of the pyramid.
        pooling: "average" or "sum" over the scales.
        normalise_result: whether the result is L2-normalised.
    """

    def __init__(
        self,
        model: Delg,
        scales: list[float],
        pooling: str = "average",
        normalise_result: bool = True,
    ):
        super().__init__(model, False, True)
        if pooling not in ("average", "sum"):
            raise ValueError(
                f"`pooling` must be 'average' or 'sum'. Received: {pooling!r}"
            )
        self._scales = scales
        self._pooling = pooling
        self._normalise = normalise_result

    @tf.function(input_signature=[_IMAGE])
    def extract(self, input_image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `global_descriptor` [D]."""
        scales = tf.constant(self._scales, tf.float32)
        _, vectors = self._extract(
            input_image,
            scales,
            tf.constant(0),
            tf.constant(0.0),
            tf.range(len(self._scales)),
        )
        vectors = tf.nn.l2_normalize(vectors, axis=1)
        reduce = tf.reduce_mean if self._pooling == "average" else tf.reduce_sum
        vector = reduce(vectors, axis=0)
        if self._normalise:
            vector = tf.nn.l2_normalize(vector, axis=0)
        return {"global_descriptor": vector}
