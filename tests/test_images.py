"""Any image file becomes an RGB JPEG; corrupt ones are found."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from record_files import encoded, photo

from delg_tf.data import images
from delg_tf.data.decoder import UnreadableImageError


def _rotated(orientation, file_format="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(photo(), file_format, exif=exif)


def _assert_shows(converted, expected, tolerance=6.0):
    """Checks with TensorFlow's decoder, which training uses."""
    pixels = tf.io.decode_jpeg(converted.data).numpy()
    assert pixels.shape == expected.shape
    assert pixels.shape == (converted.height, converted.width, 3)
    assert np.abs(pixels.astype(float) - expected).mean() < tolerance


@pytest.mark.parametrize(
    "data",
    [
        encoded(photo(), "JPEG", quality=40),
        encoded(photo(), "JPEG", progressive=True),
        _rotated(1),
        encoded(photo(), "JPEG") + b"bytes after the end",
    ],
)
def test_rgb_jpeg_keeps_its_bytes(data):
    image = images.as_jpeg(data)
    assert image == images.JpegImage(data, 24, 40, False)


def _save_with_white(value):
    """An image that is transparent (value) in its left half."""
    rgba = np.dstack([photo(), np.full((24, 40), 255, np.uint8)])
    rgba[:, :20, 3] = 0
    expected = photo()
    expected[:, :20] = 255
    return encoded(rgba, value), expected


def _grey():
    return photo()[..., 1], np.repeat(photo()[..., 1:2], 3, -1)


def _transparent_palette():
    pixels = np.zeros((24, 40), np.uint8)
    pixels[:, 20:] = 1
    image = Image.frombytes("P", (40, 24), pixels.tobytes())
    image.putpalette([0, 200, 0, 0, 0, 250])
    expected = np.full((24, 40, 3), 255, np.uint8)
    expected[:, 20:] = (0, 0, 250)
    return encoded(image, "PNG", transparency=0), expected


def _animation():
    frames = [Image.fromarray(photo() // k) for k in (1, 4)]
    return encoded(
        frames[0], "GIF", save_all=True, append_images=frames[1:]
    ), photo()


def _lab():
    # CIE L*a*b* of a mid grey, a dark and a light one: L* = 53.6, 20, 90;
    # sRGB values of the standard's formulae.
    light = np.repeat([[53.6, 20.0, 90.0]], 24, 0).repeat(13, 1)
    lab = np.zeros((*light.shape, 3), np.uint8)
    lab[..., 0] = np.rint(light * 255 / 100)
    grey = np.repeat([[128, 48, 226]], 24, 0).repeat(13, 1)
    image = Image.frombytes("LAB", lab.shape[1::-1], lab.tobytes())
    return encoded(image, "TIFF"), np.dstack([grey] * 3)


FORMATS = {
    "png": lambda: (encoded(photo(), "PNG"), photo()),
    "webp": lambda: (encoded(photo(), "WEBP", quality=95), photo()),
    "bmp": lambda: (encoded(photo(), "BMP"), photo()),
    "tiff": lambda: (encoded(photo(), "TIFF"), photo()),
    "gif": _animation,
    "grey jpeg": lambda: (encoded(_grey()[0], "JPEG"), _grey()[1]),
    "grey 16 bit": lambda: (
        encoded(_grey()[0].astype(np.uint16) * 257, "PNG"),
        _grey()[1],
    ),
    # Dark, so that stretching the contrast would show.
    "dark 16 bit": lambda: (
        encoded((_grey()[0] // 4).astype(np.uint16) * 257, "TIFF"),
        _grey()[1] // 4,
    ),
    "grey float": lambda: (
        encoded(_grey()[0].astype(np.float32) / 255, "TIFF"),
        _grey()[1],
    ),
    "bilevel": lambda: (
        encoded(Image.fromarray(_grey()[0] > 127), "PNG"),
        np.repeat(255 * (_grey()[0] > 127), 3).reshape(24, 40, 3),
    ),
    "cmyk jpeg": lambda: (
        encoded(Image.fromarray(photo()).convert("CMYK"), "JPEG", quality=95),
        photo(),
    ),
    "lab": _lab,
    "alpha png": lambda: _save_with_white("PNG"),
    "alpha webp": lambda: _save_with_white("WEBP"),
    "transparent palette": _transparent_palette,
    "rotated png": lambda: (_rotated(6, "PNG"), np.rot90(photo(), -1)),
    "rotated tiff": lambda: (_rotated(8, "TIFF"), np.rot90(photo(), 1)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_other_images_become_rgb_jpeg(name):
    data, expected = FORMATS[name]()
    image = images.as_jpeg(data)
    assert image.converted
    _assert_shows(image, expected)
    assert b"Exif" not in image.data


# Where EXIF's standard puts row 0 and column 0 of the stored picture.
ORIENTATIONS = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_rotation_is_applied(orientation):
    image = images.as_jpeg(_rotated(orientation))
    _assert_shows(image, ORIENTATIONS[orientation](photo()))
    assert Image.open(io.BytesIO(image.data)).getexif().get(0x0112) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>404</html>", "not in a format"),
        (encoded(photo(), "JPEG")[:-40], "truncated"),
        (encoded(photo(), "PNG")[:-40], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not in a"),
    ],
)
def test_corrupt_images_are_found(data, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        images.as_jpeg(data)
