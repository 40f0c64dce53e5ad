"""Receptive fields against gradients of the network itself."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from delg_tf.models.config import STEMS, STRIDE_POSITIONS, DelgConfig
from delg_tf.models.receptive_field import receptive_field
from delg_tf.models.resnet import build_trunk


def _positive_trunk(**fields):
    """A trunk whose every path from pixel to cell has a positive weight."""
    trunk = build_trunk(DelgConfig(**fields))
    for layer in trunk.layers:
        if isinstance(layer, keras.layers.Conv2D):
            # A mean over the window: activations keep their order of size.
            shape = layer.kernel.shape
            layer.set_weights([np.full(shape, 1 / np.prod(shape[:3]))])
        if isinstance(layer, keras.layers.BatchNormalization):
            ones = np.ones(layer.gamma.shape)
            layer.set_weights([ones, 0 * ones, 0 * ones, ones])
    return trunk


def _extreme_pixel(trunk, output, shape, cell, axis, last):
    """The first or last pixel along an axis that changes a cell.

    Max pooling passes the gradient to one pixel of its window only. Along a
    ramp that is always the window's extreme one, so that the gradient reaches
    the extreme pixel of the whole receptive field.
    """
    ramp = np.linspace(1, 2, shape[axis], dtype=np.float32)
    ramp = ramp if last else ramp[::-1]
    ramp = ramp[:, None] if axis == 0 else ramp[None, :]
    image = tf.constant(np.broadcast_to(ramp[None, ..., None], (1, *shape, 3)))
    with tf.GradientTape() as tape:
        tape.watch(image)
        value = tf.reduce_sum(trunk(image)[output][0, cell[0], cell[1]])
    gradient = tape.gradient(value, image).numpy()[0]
    pixels = np.flatnonzero(gradient.any(axis=(1 - axis, 2)))
    return pixels[-1] if last else pixels[0]


def _check_by_gradient(trunk, output, shape):
    fields = [
        receptive_field(trunk, output, shape[axis], axis) for axis in (0, 1)
    ]
    blocks = trunk(tf.zeros([1, *shape, 3]))
    assert tuple(blocks[output].shape[1:3]) == tuple(f.cells for f in fields)
    # Cells that see no padding, whose zeros would end the ramp.
    interior = [
        [
            i
            for i in range(field.cells)
            if field.start + i * field.stride >= 0
            and field.start + i * field.stride + field.size <= length
        ]
        for field, length in zip(fields, shape)
    ]
    cell = [cells[len(cells) // 2] for cells in interior]
    for axis, field in enumerate(fields):
        first = _extreme_pixel(trunk, output, shape, cell, axis, last=False)
        last = _extreme_pixel(trunk, output, shape, cell, axis, last=True)
        assert first == field.start + cell[axis] * field.stride
        assert last == first + field.size - 1
        centre = field.centre + cell[axis] * field.stride
        assert centre == (first + last) / 2


SHAPES = [(224, 225), (226, 227), (241, 256)]


@pytest.mark.parametrize("local_stride", [16, 32])
@pytest.mark.parametrize("position", STRIDE_POSITIONS)
def test_gradient_of_each_stride_position(position, local_stride):
    trunk = _positive_trunk(
        backbone="resnet_small",
        stride_position=position,
        local_stride=local_stride,
    )
    for shape in SHAPES:
        _check_by_gradient(trunk, "block3", shape)


@pytest.mark.parametrize("stem", STEMS)
def test_gradient_of_each_stem(stem):
    trunk = _positive_trunk(backbone="resnet_small", stem=stem)
    for shape in SHAPES:
        _check_by_gradient(trunk, "block3", shape)
        _check_by_gradient(trunk, "block2", shape)


def test_gradient_of_resnet50():
    trunk = _positive_trunk(backbone="resnet50")
    _check_by_gradient(trunk, "block3", (345, 352))


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
@pytest.mark.parametrize("local_stride", [16, 32])
def test_official_constants(backbone, local_stride):
    trunk = build_trunk(
        DelgConfig(
            backbone=backbone,
            stride_position="first_unit_1x1",
            local_stride=local_stride,
        )
    )
    field = receptive_field(trunk, "block3", 512)
    assert field.stride == local_stride
    if backbone == "resnet50":
        assert (field.size, field.padding) == (291, 145)
        assert field.centre == 0
    else:
        # 17 more units with a 3x3 convolution at stride 16.
        assert (field.size, field.padding) == (291 + 17 * 32, 145 + 17 * 16)


def test_padding_of_tf_slim_depends_on_the_size():
    trunk = build_trunk(DelgConfig(local_stride=16))
    # "SAME" pooling of an odd number of cells pads both sides, of an even
    # number only the end; there are ceil(length / 2) cells.
    for length, padding in [(321, 145), (322, 145), (323, 143), (512, 143)]:
        field = receptive_field(trunk, "block3", length)
        assert (field.size, field.stride) == (291, 16)
        assert field.padding == padding
        assert field.centre == 145 - padding


def test_traced_lengths_give_the_same_fields():
    for position, stem in itertools.product(STRIDE_POSITIONS, STEMS):
        trunk = build_trunk(
            DelgConfig(
                backbone="resnet_small", stride_position=position, stem=stem
            )
        )

        @tf.function
        def traced(length, trunk=trunk):
            field = receptive_field(trunk, "block3", length)
            return field.start, field.cells, field.centre

        for length in (64, 97, 130, 255):
            field = receptive_field(trunk, "block3", length)
            values = [v.numpy() for v in traced(tf.constant(length))]
            assert values == [field.start, field.cells, field.centre]


def test_unknown_output_and_layer_are_refused():
    trunk = build_trunk(DelgConfig(backbone="resnet_small"))
    with pytest.raises(ValueError, match="block9"):
        receptive_field(trunk, "block9", 64)
    images = keras.Input((None, None, 3))
    resized = keras.layers.UpSampling2D(name="up")(images)
    model = keras.Model(images, {"up": resized})
    with pytest.raises(ValueError, match="UpSampling2D"):
        receptive_field(model, "up", 64)


def test_branches_that_show_different_places_are_refused():
    images = keras.Input((None, None, 3))
    shifted = keras.layers.ZeroPadding2D(((2, 0), (2, 0)))(images)
    shifted = keras.layers.Conv2D(3, 3)(shifted)
    model = keras.Model(images, {"sum": keras.layers.Add()([images, shifted])})
    with pytest.raises(ValueError, match="different centres"):
        receptive_field(model, "sum", 64)
