"""The network on one level of the pyramid, as functions of an export.

They take a batch of levels of one size and do what is asked for alone, so that
a program can run the pyramid by itself: resize many images at a time, leave
conv5 out where no global descriptor is wanted, and use another runtime.
"""

import functools
import types

import tensorflow as tf

from delg_tf.data.augmentation import normalise

LEVELS = tf.TensorSpec([None, None, None, 3], tf.float32, "levels")
LOCAL, GLOBAL, BOTH = "level_local", "level_global", "level_both"


def level_signature(with_local: bool, with_global: bool) -> str:
    """Name of the function that gives what is wanted.

    Raises:
        ValueError: nothing is.
    """
    names = {(True, False): LOCAL, (False, True): GLOBAL, (True, True): BOTH}
    if (with_local, with_global) not in names:
        raise ValueError("One of local and global features must be wanted.")
    return names[with_local, with_global]


def local_outputs(
    layers: types.SimpleNamespace, blocks: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Scores `[B, h, w]` and raw descriptors `[B, h, w, D]`, float32."""
    block3 = blocks["block3"]
    scores = layers.attention(block3, training=False)
    descriptors = block3
    if hasattr(layers, "encoder"):
        descriptors = layers.encoder(block3)
    return {
        "scores": tf.cast(scores[..., 0], tf.float32),
        "descriptors": tf.cast(descriptors, tf.float32),
    }


def global_outputs(
    layers: types.SimpleNamespace, blocks: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Raw global descriptors `[B, G]`, float32."""
    block4 = layers.conv5(blocks["conv5_input"], training=False)
    vectors = layers.whitening(layers.pooling(block4))
    return {"global_descriptors": tf.cast(vectors, tf.float32)}


def level_functions(
    layers: types.SimpleNamespace, with_local: bool, with_global: bool
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The functions of a level.

    Args:
        layers: `trunk`, and where they are wanted `attention` and `encoder`,
            `conv5`, `pooling` and `whitening`.
        with_local: whether there are local features.
        with_global: whether there are global descriptors.

    Returns:
        By name, functions of `levels`, float32 `[B, H, W, 3]`, RGB from 0 to
        255. "level_local" gives `scores` `[B, h, w]` and `descriptors`
        `[B, h, w, D]`, "level_global" gives `global_descriptors` `[B, G]`,
        "level_both" all; float32, nothing normalised.
    """

    def both(blocks: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return local_outputs(layers, blocks) | global_outputs(layers, blocks)

    def function(heads: object) -> tf.types.experimental.GenericFunction:
        @tf.function(input_signature=[LEVELS])
        def level(levels: tf.Tensor) -> dict[str, tf.Tensor]:
            return heads(layers.trunk(normalise(levels), training=False))

        return level

    functions = {}
    if with_local:
        functions[LOCAL] = function(functools.partial(local_outputs, layers))
    if with_global:
        functions[GLOBAL] = function(functools.partial(global_outputs, layers))
    if with_local and with_global:
        functions[BOTH] = function(both)
    return functions
