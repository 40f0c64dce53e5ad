"""Images of one size in, finished features out, as one function of an export.

TensorFlow Serving takes it (`serve_batch`), and the files for other programs
are made of it: its scales are fixed, so there is no loop over them, and the
number of local features is a constant.
"""

import dataclasses
import types
from collections.abc import Mapping

import tensorflow as tf

from delg_tf.export.levels import level_signature
from delg_tf.export.pyramid import cell_boxes, level_size
from delg_tf.export.selection import select_features

SERVE = "serve_batch"
IMAGES = tf.TensorSpec([None, None, None, 3], tf.uint8, "images")


@dataclasses.dataclass(frozen=True)
class ServingPlan:
    """What is computed of every image.

    Attributes:
        scales: of the pyramid.
        local_scales: indices of the scales with local features.
        global_scales: indices of the scales that the global descriptor is
            pooled over.
        max_features: local features of an image, at most.
        threshold: least attention score of one.
        iou_threshold: see `select_features`.
        exact_keypoints: see `cell_boxes`.
        smallest: shortest side in pixels of a level.
    """

    scales: tuple[float, ...]
    local_scales: tuple[int, ...]
    global_scales: tuple[int, ...]
    max_features: int
    threshold: float
    iou_threshold: float
    exact_keypoints: bool
    smallest: int


def serving_function(
    layers: types.SimpleNamespace,
    levels: Mapping[str, tf.types.experimental.GenericFunction],
    plan: ServingPlan,
) -> tf.types.experimental.GenericFunction:
    """The function of a batch of images.

    Args:
        layers: `trunk` says where cells lie.
        levels: of `level_functions`.
        plan: what is computed.

    Returns:
        A function of `images`, uint8 `[B, H, W, 3]`, RGB. It gives, as far as
        the plan has scales for it, `global_descriptor` float32 `[B, G]`, of
        unit length: the sum of the scales' unit descriptors, normalised; and
        the N = `max_features` local features of highest attention, first the
        best: `locations` float32 `[B, N, 2]` (y, x) in pixels of the image,
        `descriptors` float32 `[B, N, D]` of unit length, `scales` float32
        `[B, N]` (1 / scale of the level), `scores` float32 `[B, N]`, and
        `count` int32 `[B]`, how many of the N rows there are; the others are
        zeros.
    """

    # Its loop is Python's, over scales that are fixed.
    @tf.function(input_signature=[IMAGES], autograph=False)
    def serve_batch(images: tf.Tensor) -> dict[str, tf.Tensor]:
        size = tf.shape(images)[1:3]
        pixels = tf.cast(images, tf.float32)
        local, vectors = [], {}
        for index, scale in enumerate(plan.scales):
            wanted = index in plan.local_scales, index in plan.global_scales
            if not any(wanted):
                continue
            part = level_size(size, tf.constant(scale), plan.smallest)
            level = tf.image.resize(pixels, part, method="bilinear")
            outputs = levels[level_signature(*wanted)](level)
            if wanted[0]:
                boxes = cell_boxes(
                    layers.trunk, size, part, scale, plan.exact_keypoints
                )
                local.append(_cells(outputs, boxes, scale))
            if wanted[1]:
                vectors[index] = outputs["global_descriptors"]
        results = {}
        if vectors:
            results["global_descriptor"] = pooled(
                [vectors[index] for index in plan.global_scales]
            )
        if local:
            results |= _best([tf.concat(part, 1) for part in zip(*local)], plan)
        return results

    return serve_batch


def pooled(vectors: list[tf.Tensor]) -> tf.Tensor:
    """One unit vector `[B, G]` from the raw ones of several scales."""
    units = [tf.nn.l2_normalize(vector, axis=-1) for vector in vectors]
    return tf.nn.l2_normalize(tf.add_n(units), axis=-1)


def _cells(
    outputs: dict[str, tf.Tensor], boxes: tf.Tensor, scale: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Boxes, descriptors, scales and scores of a level, `[B, cells, ...]`."""
    descriptors = outputs["descriptors"]
    count, depth = tf.shape(descriptors)[0], descriptors.shape[-1]
    scores = tf.reshape(outputs["scores"], [count, -1])
    boxes = tf.reshape(boxes, [1, -1, 4])
    return (
        tf.tile(boxes, [count, 1, 1]),
        tf.reshape(descriptors, [count, -1, depth]),
        tf.zeros_like(scores) + 1.0 / scale,
        scores,
    )


def _best(cells: list[tf.Tensor], plan: ServingPlan) -> dict[str, tf.Tensor]:
    """The best cells of each image, and rows of zeros after them."""
    number = plan.max_features
    # So there are always enough to choose from; none of them is chosen.
    boxes, descriptors, scales, scores = (
        tf.pad(
            cell,
            [[0, 0], [0, number]] + [[0, 0]] * (cell.shape.rank - 2),
            constant_values=value,
        )
        for cell, value in zip(cells, (0.0, 0.0, 0.0, -1.0))
    )
    scores = tf.where(scores >= max(plan.threshold, 0.0), scores, -1.0)
    if plan.iou_threshold < 1:
        scores = _thinned(boxes, scores, plan)
    scores, chosen = tf.math.top_k(scores, number)
    is_there = scores >= 0
    boxes, descriptors, scales = (
        tf.gather(part, chosen, axis=1, batch_dims=1)
        for part in (boxes, descriptors, scales)
    )
    mask = tf.cast(is_there, tf.float32)
    return {
        "locations": (boxes[..., :2] + boxes[..., 2:])
        / 2
        * mask[..., tf.newaxis],
        "descriptors": tf.nn.l2_normalize(descriptors, axis=-1)
        * mask[..., tf.newaxis],
        "scales": scales * mask,
        "scores": scores * mask,
        "count": tf.reduce_sum(tf.cast(is_there, tf.int32), axis=1),
    }


def _thinned(
    boxes: tf.Tensor, scores: tf.Tensor, plan: ServingPlan
) -> tf.Tensor:
    """Scores `[B, cells]`; -1 for what overlaps with better cells."""

    def of_image(item: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        boxes, scores = item
        there = tf.where(scores >= 0)[:, 0]
        chosen = select_features(
            tf.gather(boxes, there),
            tf.gather(scores, there),
            plan.max_features,
            plan.iou_threshold,
        )
        kept = tf.gather(there, chosen)[:, tf.newaxis]
        places = tf.cast(tf.shape(scores), tf.int64)
        is_kept = tf.scatter_nd(kept, tf.ones_like(chosen), places) > 0
        return tf.where(is_kept, scores, -1.0)

    return tf.map_fn(
        of_image,
        (boxes, scores),
        fn_output_signature=tf.TensorSpec([None], tf.float32),
    )
