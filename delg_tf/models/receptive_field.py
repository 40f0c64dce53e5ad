"""Receptive fields, computed from the built network.

A cell's receptive field along an axis is the interval of image pixels that
can change it. For cell i it covers the pixels `start + i * stride` to
`start + i * stride + size - 1`; its centre is the middle of that interval.
Pixel coordinates are those of pixel centres: the first pixel is at 0.

"SAME" padding puts one pixel more at the end than at the beginning where it
cannot share evenly, which depends on the image's size; so the start does too.
The official code assumes a centre of `i * stride` for all of them.
"""

import dataclasses
from typing import Any

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.input_normalisation import InputNormalisation

# A Python int, or an int32 scalar tensor while an export is traced.
Integer = Any


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """Receptive fields of one tensor along one axis.

    Attributes:
        size: pixels covered.
        stride: pixels between neighbouring cells.
        start: first pixel covered by cell 0; negative in the padding.
        cells: number of cells along the axis.
    """

    size: int
    stride: int
    start: Integer
    cells: Integer

    @property
    def padding(self) -> Integer:
        """Pixels that cell 0 sees before the image's first one."""
        return -self.start

    @property
    def centre(self) -> Any:
        """Centre of cell 0 in pixels (float)."""
        start = self.start
        if tf.is_tensor(start):
            start = tf.cast(start, tf.float32)
        return start + (self.size - 1) / 2


def receptive_field(
    network: keras.Model, output: str, length: Integer, axis: int = 0
) -> ReceptiveField:
    """Follows the network's layers from its input to one output.

    Args:
        network: functional model with one image input and a dict of outputs,
            of convolutions, poolings, paddings, additions and layers that
            work on each cell alone.
        output: key of the output.
        length: the image's height (axis 0) or width (axis 1) in pixels; an
            int, or a scalar int32 tensor.
        axis: 0 for height, 1 for width.

    Returns:
        The receptive field of the output's cells along the axis.

    Raises:
        ValueError: the output does not exist, or a layer is of a kind whose
            receptive field is not known.
    """
    if output not in network.output_names and output not in network.output:
        raise ValueError(
            f"`output` must be one of {sorted(network.output)}. "
            f"Received: {output!r}"
        )
    fields = {id(network.input): ReceptiveField(1, 1, 0, length)}

    def field_of(tensor: Any) -> ReceptiveField:
        if id(tensor) not in fields:
            history = tensor.node
            inputs = [field_of(x) for x in history.keras_inputs]
            fields[id(tensor)] = _through(history.layer, inputs, axis)
        return fields[id(tensor)]

    return field_of(network.output[output])


def _through(
    layer: keras.layers.Layer, inputs: list[ReceptiveField], axis: int
) -> ReceptiveField:
    """Receptive field behind `layer`, from those before it."""
    field = inputs[0]
    if isinstance(layer, keras.layers.Conv2D):
        return _window(
            field,
            layer.kernel_size[axis],
            layer.strides[axis],
            layer.padding,
            layer.dilation_rate[axis],
        )
    if isinstance(layer, keras.layers.MaxPooling2D):
        return _window(
            field, layer.pool_size[axis], layer.strides[axis], layer.padding
        )
    if isinstance(layer, keras.layers.ZeroPadding2D):
        before, after = layer.padding[axis]
        return dataclasses.replace(
            field,
            start=field.start - before * field.stride,
            cells=field.cells + before + after,
        )
    if isinstance(layer, keras.layers.Add):
        return _union(inputs)
    cell_wise = (
        keras.layers.BatchNormalization,
        keras.layers.ReLU,
        keras.layers.Activation,
        InputNormalisation,
    )
    if isinstance(layer, cell_wise):
        return field
    raise ValueError(
        f"The receptive field behind a {type(layer).__name__} layer "
        f"({layer.name}) is not known."
    )


def _window(
    field: ReceptiveField,
    kernel: int,
    stride: int,
    padding: str,
    dilation: int = 1,
) -> ReceptiveField:
    """Receptive field behind a sliding window."""
    extent = (kernel - 1) * dilation + 1
    if padding == "same":
        cells = (field.cells + stride - 1) // stride
        total = _maximum((cells - 1) * stride + extent - field.cells, 0)
        before = total // 2
    else:
        cells = (field.cells - extent) // stride + 1
        before = 0
    return ReceptiveField(
        size=field.size + (extent - 1) * field.stride,
        stride=field.stride * stride,
        start=field.start - before * field.stride,
        cells=cells,
    )


def _union(fields: list[ReceptiveField]) -> ReceptiveField:
    """Receptive field of a sum of branches.

    Raises:
        ValueError: the branches have different strides or centres, so that
            their cells do not show the same place.
    """
    largest = max(fields, key=lambda field: field.size)
    for field in fields:
        if field.stride != largest.stride:
            raise ValueError(
                "Branches with different strides are added. Received: "
                f"{field.stride} and {largest.stride}"
            )
        if tf.is_tensor(field.start):
            continue
        if field.centre != largest.centre:
            raise ValueError(
                "Branches with different centres are added. Received: "
                f"{field.centre} and {largest.centre}"
            )
    return largest


def _maximum(a: Integer, b: Integer) -> Integer:
    return tf.maximum(a, b) if tf.is_tensor(a) else max(a, b)
