"""Arithmetic of a network, counted from its layers."""

import tf_keras as keras

from delg_tf.models.receptive_field import layer_cells


def convolution_flops(network: keras.Model, height: int, width: int) -> int:
    """Floating-point operations of a network's convolutions on one image.

    Args:
        network: functional model with one image input, as `build_trunk` and
            `build_conv5` make them.
        height: of the input, in cells.
        width: likewise.

    Returns:
        Two for each product, as it is also added. Other layers count nothing.
    """
    rows, columns = (
        layer_cells(network, length, axis)
        for axis, length in enumerate((height, width))
    )
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel_height, kernel_width = layer.kernel_size
            products = kernel_height * kernel_width * layer.input_shape[-1]
            cells = rows[layer.name] * columns[layer.name]
            total += 2 * cells * layer.filters * products
    return total
