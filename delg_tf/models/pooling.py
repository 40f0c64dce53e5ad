"""Poolings that make one vector of a feature map."""

import tf_keras as keras

from delg_tf.models.config import DelgConfig
from delg_tf.models.gem import GeM


def make_pooling(config: DelgConfig) -> keras.layers.Layer:
    """Builds the pooling over height and width, always in float32.

    "gem": generalised mean (the paper's); "spoc": mean of the cells (SPoC,
    sum-pooled convolutional features); "mac": maximum (maximum activations
    of convolutions).

    Args:
        config: the network; `pooling`, `gem_power` and `learn_gem_power` are
            used.

    Returns:
        A layer `[batch, height, width, channels]` -> `[batch, channels]`,
        float32.

    Reference: DELG paper, table 2; Babenko and Lempitsky, ICCV 2015 (SPoC);
    Tolias et al., ICLR 2016 (MAC); Radenovic et al., TPAMI 2018 (GeM).
    """
    if config.pooling == "gem":
        return GeM(config.gem_power, config.learn_gem_power, name="pooling")
    kinds = {
        "spoc": keras.layers.GlobalAveragePooling2D,
        "mac": keras.layers.GlobalMaxPooling2D,
    }
    return kinds[config.pooling](dtype="float32", name="pooling")
