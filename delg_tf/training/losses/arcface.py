"""Softmax cross-entropy with ArcFace margin."""

import math

import tensorflow as tf

# Keeps the sine's derivative finite where the cosine is 1 or, by rounding,
# beyond. It changes the margined cosine by 3e-5 at most.
_MIN_SINE_SQUARED = 1e-7


def add_angular_margin(
    cosines: tf.Tensor, labels: tf.Tensor, margin: float
) -> tf.Tensor:
    """Adds the margin to the angle of the true class.

    `cos(theta + m)` is computed as `cos theta cos m - sin theta sin m`,
    without the arc cosine, whose derivative is infinite at 1. Where theta
    exceeds pi - m, the cosine is left as it is, as in the official code.

    Args:
        cosines: float `[batch, num_classes]`.
        labels: int `[batch]`.
        margin: angle in radians, 0 to pi / 2.

    Returns:
        float32 `[batch, num_classes]`.

    Raises:
        ValueError: the margin is out of range.
    """
    if not 0 <= margin < math.pi / 2:
        raise ValueError(f"`margin` must be in [0, pi / 2). Received: {margin}")
    cosines = tf.cast(cosines, tf.float32)
    if margin == 0:
        return cosines
    sine = tf.sqrt(tf.maximum(1.0 - cosines**2, _MIN_SINE_SQUARED))
    shifted = cosines * math.cos(margin) - sine * math.sin(margin)
    # theta <= pi - m; cosines fall as angles grow.
    shifted = tf.where(cosines >= -math.cos(margin), shifted, cosines)
    is_true = tf.one_hot(
        labels, cosines.shape[1], on_value=True, off_value=False, dtype=tf.bool
    )
    return tf.where(is_true, shifted, cosines)


def arcface_loss(
    cosines: tf.Tensor,
    labels: tf.Tensor,
    scale: tf.Tensor,
    margin: float = 0.1,
) -> tf.Tensor:
    """Cross-entropy of the scaled, margined cosines.

    Args:
        cosines: float `[batch, num_classes]`.
        labels: int `[batch]`.
        scale: float scalar, gamma of the paper.
        margin: in radians; 0 for validation.

    Returns:
        float32 `[batch]`.

    Reference: DELG paper, equation 3 and section 3.3; ArcFace, Deng et al.,
    CVPR 2019.
    """
    logits = scale * add_angular_margin(cosines, labels, margin)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
