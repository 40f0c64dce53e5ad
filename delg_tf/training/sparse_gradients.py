"""Gradients of which only some rows are not zero."""

import tensorflow as tf


def sum_repeated_rows(
    gradient: tf.Tensor | tf.IndexedSlices,
) -> tf.Tensor | tf.IndexedSlices:
    """Makes each row of a sparse gradient appear once.

    Summed over replicas, or over the parts of a batch, a row stands there as
    often as somebody had it. Its square is in the gradient's norm only once
    those are added.

    Args:
        gradient: dense ones are returned as they are.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, positions = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(
        gradient.values, positions, tf.size(rows)
    )
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
