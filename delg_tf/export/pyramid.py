"""Geometry of the image pyramid, in TensorFlow.

Pixel coordinates are those of pixel centres: the first pixel is at 0. Resizing
maps the pixel edges, so a pixel x of a level of width w shows the place
`(x + 0.5) * W / w - 0.5` of an image of width W ("half-pixel centres").
"""

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.receptive_field import receptive_field, tabulated_field

# No network needs a longer side than this for its first cell.
_LARGEST_SMALLEST = 64


def smallest_level(trunk: keras.Model) -> int:
    """Shortest side in pixels of a level that has a cell.

    A pooling without padding has no output for less, and TensorFlow's CPU
    kernel ends the process on such an input.

    Args:
        trunk: network with the output `block3`.

    Raises:
        ValueError: the network has no cell even for large images.
    """
    for side in range(1, _LARGEST_SMALLEST + 1):
        if receptive_field(trunk, "block3", side).cells > 0:
            return side
    raise ValueError(
        f"`trunk` must have a cell for {_LARGEST_SMALLEST} pixels. Received: "
        f"{trunk.name}"
    )


def level_size(
    image_size: tf.Tensor, scale: tf.Tensor, smallest: int = 1
) -> tf.Tensor:
    """Size of a pyramid level: size * scale, halves to even.

    Args:
        image_size: int32 `[2]`, height and width.
        scale: float32 scalar.
        smallest: least size of either side.

    Returns:
        int32 `[2]`.
    """
    size = tf.round(tf.cast(image_size, tf.float32) * scale)
    return tf.maximum(tf.cast(size, tf.int32), smallest)


def cell_boxes(
    trunk: keras.Model,
    image_size: tf.Tensor,
    level: tf.Tensor,
    scale: tf.Tensor,
    exact: bool,
) -> tf.Tensor:
    """Receptive fields of a level's local features, in the image.

    Args:
        trunk: network whose output `block3` the features come from.
        image_size: int32 `[2]`, the image's height and width.
        level: int32 `[2]`, the level's height and width.
        scale: float32 scalar, the level's scale.
        exact: true centres; otherwise the official code's, stride * index /
            scale, with a half side of half the receptive field / scale.

    Returns:
        float32 `[rows, columns, 4]`: ymin, xmin, ymax, xmax in pixels of the
        image. They may reach outside. A box's middle is the feature's
        location.
    """
    centres, halves = [], []
    for axis in (0, 1):
        field = tabulated_field(trunk, "block3", level[axis], axis)
        cells = tf.cast(tf.range(field.cells), tf.float32) * field.stride
        half = (field.size - 1) / 2
        if exact:
            zoom = tf.cast(image_size[axis], tf.float32) / tf.cast(
                level[axis], tf.float32
            )
            centres.append((cells + field.centre + 0.5) * zoom - 0.5)
            halves.append(half * zoom)
        else:
            centres.append(cells / scale)
            halves.append(half / scale)
    y, x = tf.meshgrid(*centres, indexing="ij")
    return tf.stack(
        [y - halves[0], x - halves[1], y + halves[0], x + halves[1]], axis=-1
    )
