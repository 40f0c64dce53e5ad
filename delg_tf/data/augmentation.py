"""From an encoded image to the network's input."""

import tensorflow as tf

# The crop of Inception, as the official code uses it.
_ASPECT_RATIOS = (3 / 4, 4 / 3)
_MIN_COVERED = 0.1
_MAX_ATTEMPTS = 100
# Gives the pixels that extraction gets from Pillow. TensorFlow's default is off
# by a grey level on average, and hardly faster.
_DCT = "INTEGER_ACCURATE"


def normalise(image: tf.Tensor) -> tf.Tensor:
    """Maps grey levels 0..255 to (x - 128) / 128, about [-1, 1]."""
    return (tf.cast(image, tf.float32) - 128.0) / 128.0


def training_image(
    encoded: tf.Tensor,
    size: int,
    seed: tf.Tensor,
    min_area: float = 0.08,
) -> tf.Tensor:
    """Crops at random, with aspect distortion, and resizes by area.

    Only the crop is decoded.

    Args:
        encoded: string scalar, a JPEG with three channels.
        size: side of the result in pixels.
        seed: int64 `[2]`; equal seeds give equal crops.
        min_area: smallest share of the image that a crop covers. The official
            code's is 0.08.

    Returns:
        float32 `[size, size, 3]`, normalised.
    """
    shape = tf.image.extract_jpeg_shape(encoded)
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed,
        min_object_covered=_MIN_COVERED,
        aspect_ratio_range=_ASPECT_RATIOS,
        area_range=(min_area, 1.0),
        max_attempts=_MAX_ATTEMPTS,
    )
    window = tf.concat([begin[:2], extent[:2]], axis=0)
    crop = tf.image.decode_and_crop_jpeg(
        encoded, window, channels=3, dct_method=_DCT
    )
    crop = tf.image.resize(crop, (size, size), method="area")
    return tf.ensure_shape(normalise(crop), (size, size, 3))


def validation_image(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes the whole image to a square, bilinearly, as the official code.

    Args:
        encoded: string scalar, an image with three channels.
        size: side of the result in pixels; the aspect ratio is not kept.

    Returns:
        float32 `[size, size, 3]`, normalised.
    """
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method=_DCT)
    image = tf.image.resize(image, (size, size), method="bilinear")
    return tf.ensure_shape(normalise(image), (size, size, 3))


def decoded_whole(encoded: tf.Tensor, crops: bool) -> tf.Tensor:
    """Decodes all of an image by the operations that a pipeline uses.

    TensorFlow refuses a JPEG that ends too early, but where it decodes a crop
    only, it does not read, and does not miss, what lies below. Wrong bytes in
    the middle give wrong colours, and no error.

    Args:
        encoded: string scalar.
        crops: whether the pipeline crops (`training_image`), which takes JPEGs
            only, or not (`validation_image`), which takes other formats, too.

    Returns:
        uint8 `[height, width, 3]`.

    Raises:
        tf.errors.InvalidArgumentError: it cannot be decoded.
    """
    if not crops:
        return tf.io.decode_jpeg(encoded, channels=3, dct_method=_DCT)
    shape = tf.image.extract_jpeg_shape(encoded)
    window = tf.stack([0, 0, shape[0], shape[1]])
    return tf.image.decode_and_crop_jpeg(
        encoded, window, channels=3, dct_method=_DCT
    )
