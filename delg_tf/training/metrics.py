"""Accuracies of the two heads."""

import tensorflow as tf


def accuracies(
    outputs: dict[str, tf.Tensor], labels: tf.Tensor, denominator: int
) -> dict[str, tf.Tensor]:
    """Counts right answers, without margin.

    Args:
        outputs: of `Delg`.
        labels: int `[batch]`; where classes are sampled, answers count
            among those only.
        denominator: what the number of right answers is divided by.

    Returns:
        Scalars `global_accuracy` and `local_accuracy`, float32.
    """
    targets = tf.cast(outputs.get("targets", labels), tf.int64)

    def share(logits: tf.Tensor) -> tf.Tensor:
        right = tf.equal(tf.argmax(logits, axis=1), targets)
        return tf.reduce_sum(tf.cast(right, tf.float32)) / denominator

    return {
        "global_accuracy": share(outputs["global_logits"]),
        "local_accuracy": share(outputs["local_logits"]),
    }
