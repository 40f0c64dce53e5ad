"""Softmax cross-entropy with ArcFace margin."""

import math

import tensorflow as tf

from delg_tf.training.losses.cross_entropy import cross_entropy

# Keeps the sine's derivative finite where the cosine is 1 or, by rounding,
# beyond. It changes the margined cosine by 3e-5 at most.
_MIN_SINE_SQUARED = 1e-7


def add_angular_margin(
    cosines: tf.Tensor, targets: tf.Tensor, margin: float
) -> tf.Tensor:
    """Adds the margin to the angle of the true class.

    `cos(theta + m)` is computed as `cos theta cos m - sin theta sin m`,
    without the arc cosine, whose derivative is infinite at 1. Where theta
    exceeds pi - m, the cosine is left as it is, as in the official code.

    Args:
        cosines: float `[batch, s]`.
        targets: int `[batch]`, the true class's column.
        margin: angle in radians, 0 to pi / 2.

    Returns:
        float32 `[batch, s]`.

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
        targets,
        tf.shape(cosines)[1],
        on_value=True,
        off_value=False,
        dtype=tf.bool,
    )
    return tf.where(is_true, shifted, cosines)


def arcface_loss(
    cosines: tf.Tensor,
    targets: tf.Tensor,
    scale: tf.Tensor,
    margin: float = 0.1,
    label_smoothing: float = 0.0,
    log_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cross-entropy of the scaled, margined cosines.

    Args:
        cosines: float `[batch, s]`.
        targets: int `[batch]`, the true class's column.
        scale: float scalar, gamma of the paper.
        margin: in radians; 0 for validation.
        label_smoothing: see `cross_entropy`.
        log_weights: see `cross_entropy`.

    Returns:
        float32 `[batch]`.

    Reference: DELG paper, equation 3 and section 3.3; ArcFace, Deng et al.,
    CVPR 2019.
    """
    margined = add_angular_margin(cosines, targets, margin)
    logits = tf.cast(scale, tf.float32) * margined
    return cross_entropy(logits, targets, label_smoothing, log_weights)
