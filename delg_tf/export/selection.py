"""Which local features of all levels are kept."""

import tensorflow as tf


def select_features(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_number: tf.Tensor,
    iou_threshold: float,
) -> tf.Tensor:
    """Chooses the best-scored features.

    Args:
        boxes: float32 `[N, 4]`, ymin, xmin, ymax, xmax.
        scores: float32 `[N]`.
        max_number: int32 scalar, how many at most.
        iou_threshold: of two boxes that overlap more (intersection over
            union) only the better-scored one is kept; 1 keeps all, and costs
            nothing.

    Returns:
        int32 `[M]`, indices by falling score; of equal scores the first comes
        first.
    """
    number = tf.minimum(max_number, tf.shape(scores)[0])
    if iou_threshold >= 1:
        return tf.math.top_k(scores, number).indices
    return tf.image.non_max_suppression(
        boxes, scores, number, iou_threshold=iou_threshold
    )
