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
_STRIDES_ON = 64


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


@dataclasses.dataclass(frozen=True)
class Window:
    """What one layer sees along an axis.

    Attributes:
        extent: its window in cells.
        stride: cells between neighbouring windows.
        padding: "same", "valid", or so many cells before and after.
    """

    extent: int
    stride: int
    padding: str | tuple[int, int]

    def to_list(self) -> list:
        """Returns the fields as JSON has them."""
        fixed = isinstance(self.padding, str)
        padding = self.padding if fixed else list(self.padding)
        return [self.extent, self.stride, padding]

    @classmethod
    def from_list(cls, values: list) -> "Window":
        """Builds a window from `to_list`'s values."""
        extent, stride, padding = values
        fixed = isinstance(padding, str)
        return cls(extent, stride, padding if fixed else tuple(padding))


def windows(network: keras.Model, output: str, axis: int = 0) -> list[Window]:
    """The layers that a cell sees through, from the image to one output.

    Where branches meet, the one that sees most is followed; it has the same
    centre as the others, which `receptive_field` checks.

    Args:
        network: as for `receptive_field`.
        output: key of the output.
        axis: 0 for height, 1 for width.

    Returns:
        Windows in order; `through_windows` goes through them without the
        network.
    """
    chains: dict[int, list[Window]] = {id(network.input): []}

    def chain_of(tensor: Any) -> list[Window]:
        if id(tensor) not in chains:
            history = tensor.node
            inputs = [chain_of(x) for x in history.keras_inputs]
            largest = max(inputs, key=lambda c: through_windows(c, 1).size)
            window = _window_of(history.layer, axis)
            chains[id(tensor)] = largest + ([window] if window else [])
        return chains[id(tensor)]

    return chain_of(network.output[output])


def through_windows(chain: list[Window], length: Integer) -> ReceptiveField:
    """The receptive field behind a chain of windows.

    Args:
        chain: as `windows` returns it.
        length: the image's height or width in pixels; an int, or a scalar
            int32 tensor.
    """
    field = ReceptiveField(1, 1, 0, length)
    for window in chain:
        field = _slide(field, window)
    return field


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


# AutoGraph would rewrite every loop over layers.
@tf.autograph.experimental.do_not_convert
def tabulated_field(
    network: keras.Model, output: str, length: tf.Tensor, axis: int = 0
) -> ReceptiveField:
    """`receptive_field` of a length that is a tensor, in a few operations.

    Going through all layers would put several operations a layer into the
    graph. A length that is longer by one stride only has one cell more, so
    that a table of one stride's lengths says it all.

    Args:
        network: as for `receptive_field`.
        output: key of the output.
        length: int32 scalar, the image's height or width in pixels.
        axis: 0 for height, 1 for width.
    """
    chain = windows(network, output, axis)
    stride = through_windows(chain, 1).stride
    fields = [
        # Some strides on: the layers need not have a cell for less.
        through_windows(chain, _STRIDES_ON * stride + rest)
        for rest in range(stride)
    ]
    rest = length % stride
    starts = [field.start for field in fields]
    cells = [field.cells - _STRIDES_ON for field in fields]
    return ReceptiveField(
        size=fields[0].size,
        stride=stride,
        start=tf.gather(tf.constant(starts, tf.int32), rest),
        cells=tf.gather(tf.constant(cells, tf.int32), rest) + length // stride,
    )


def layer_cells(
    network: keras.Model, length: int, axis: int = 0
) -> dict[str, int]:
    """Cells that each layer of a network gives along an axis.

    Args:
        network: as for `receptive_field`.
        length: cells of its input.
        axis: 0 for height, 1 for width.

    Returns:
        By the layer's name.
    """
    fields = {id(network.input): ReceptiveField(1, 1, 0, length)}
    cells = {}
    # Functional models keep their layers in the order of computation.
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = [fields[id(x)] for x in layer.inbound_nodes[0].keras_inputs]
        field = _through(layer, inputs, axis)
        fields[id(layer.output)] = field
        cells[layer.name] = field.cells
    return cells


def _through(
    layer: keras.layers.Layer, inputs: list[ReceptiveField], axis: int
) -> ReceptiveField:
    """Receptive field behind `layer`, from those before it."""
    if isinstance(layer, keras.layers.Add):
        return _union(inputs)
    window = _window_of(layer, axis)
    return inputs[0] if window is None else _slide(inputs[0], window)


def _window_of(layer: keras.layers.Layer, axis: int) -> Window | None:
    """The window of a layer; None if it works on each cell alone."""
    if isinstance(layer, keras.layers.Conv2D):
        extent = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1
        return Window(extent, layer.strides[axis], layer.padding)
    if isinstance(layer, keras.layers.MaxPooling2D):
        return Window(layer.pool_size[axis], layer.strides[axis], layer.padding)
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return Window(1, 1, tuple(layer.padding[axis]))
    cell_wise = (
        keras.layers.Add,
        keras.layers.BatchNormalization,
        keras.layers.ReLU,
        keras.layers.Activation,
        InputNormalisation,
    )
    if isinstance(layer, cell_wise):
        return None
    raise ValueError(
        f"The receptive field behind a {type(layer).__name__} layer "
        f"({layer.name}) is not known."
    )


def _slide(field: ReceptiveField, window: Window) -> ReceptiveField:
    """Receptive field behind a sliding window."""
    extent, stride = window.extent, window.stride
    if window.padding == "same":
        cells = (field.cells + stride - 1) // stride
        total = _maximum((cells - 1) * stride + extent - field.cells, 0)
        before = total // 2
    else:
        before, after = (0, 0) if window.padding == "valid" else window.padding
        cells = (field.cells + before + after - extent) // stride + 1
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
