"""Arithmetic of an image pyramid, and what the machine could do at best."""

import time
from collections.abc import Collection, Sequence

import numpy as np
import tensorflow as tf

from delg_tf.extraction.levels.pyramid import level_size
from delg_tf.models.delg import Delg
from delg_tf.models.flops import convolution_flops
from delg_tf.models.receptive_field import receptive_field

_SIDE = 2048


def pyramid_flops(
    model: Delg,
    size: tuple[int, int],
    scales: Sequence[float],
    global_scales: Collection[int],
) -> int:
    """Operations of the backbone's convolutions for one image.

    Args:
        model: the network, built.
        size: height and width of the image.
        scales: of the levels that are computed.
        global_scales: indices of those that go through conv5.

    Returns:
        Two operations for each product of a convolution.
    """
    total = 0
    for place, scale in enumerate(scales):
        height, width = level_size(size, scale)
        total += convolution_flops(model.trunk, height, width)
        if place in global_scales:
            cells = (
                receptive_field(model.trunk, "conv5_input", length, axis).cells
                for axis, length in enumerate((height, width))
            )
            total += convolution_flops(model.conv5, *cells)
    return total


def peak_flops(repeats: int = 7) -> float:
    """Operations a second of float32 matrix products, the best of a few.

    Args:
        repeats: products of 2,048 x 2,048 matrices.
    """
    # TensorFlow's is faster than NumPy's on many processors.
    a = tf.constant(np.random.default_rng(0).random((_SIDE, _SIDE), np.float32))
    tf.linalg.matmul(a, a).numpy()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        # Waits for the result without copying all of it.
        tf.linalg.matmul(a, a)[0, 0].numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * _SIDE**3 / min(seconds)
