"""One decoder for all: pixels of each kind of file, and hostile files."""

import io
import json
import os
import pathlib
import subprocess
import sys

import hostile_images
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms
from record_files import encoded, photo

from delg_tf.data import images
from delg_tf.data.augmentation import training_image
from delg_tf.data.decoder import (
    UnreadableImageError,
    decode_image,
    read_image,
)
from delg_tf.extraction.images import load_image


def _decode(data, **options):
    return np.asarray(decode_image(io.BytesIO(data), **options).image)


def _of_grey(grey):
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2)


def _levels():
    """Each 16-bit value once."""
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


def _pgm(values):
    header = f"P5 {values.shape[1]} {values.shape[0]} 65535\n".encode()
    return header + values.astype(">u2").tobytes()


def _big_endian_tiff(values):
    content = values.astype(">u2").tobytes()
    return encoded(Image.frombytes("I;16B", values.shape, content), "TIFF")


@pytest.mark.parametrize(
    "write",
    [
        lambda values: encoded(values, "PNG"),
        lambda values: encoded(values, "TIFF"),
        _big_endian_tiff,
        _pgm,
    ],
)
def test_16_bit_grey_levels_are_scaled(write):
    expected = np.rint(_levels() / 257)
    np.testing.assert_array_equal(_decode(write(_levels())), _of_grey(expected))


def _png_of_16_bit_colours(values):
    header = np.array([values.shape[1], values.shape[0]], ">u4").tobytes()
    rows = values.astype(">u2").tobytes()
    stride = len(rows) // len(values)
    rows = b"".join(
        b"\0" + rows[i : i + stride] for i in range(0, len(rows), stride)
    )
    return hostile_images.png(header + bytes([16, 2, 0, 0, 0]), rows)


def test_16_bit_colours_are_scaled():
    values = np.stack([_levels(), _levels()[::-1], _levels().T], axis=2)
    pixels = _decode(_png_of_16_bit_colours(values)).astype(int)
    # Pillow gives the higher byte.
    assert np.abs(pixels - np.rint(values / 257)).max() <= 1


def test_deep_grey_levels_beyond_16_bits_span_the_range():
    values = np.array([[-500, 0, 500], [1500, 250, -500]], np.int32)
    expected = np.rint((values + 500) * 255 / 2000)
    data = encoded(values, "TIFF")
    np.testing.assert_array_equal(_decode(data), _of_grey(expected))
    odd = np.array([[0.0, 0.25, np.nan], [1.0, np.inf, 0.5]], np.float32)
    expected = np.rint(np.nan_to_num(odd, nan=0, posinf=0) * 255)
    data = encoded(odd, "TIFF")
    np.testing.assert_array_equal(_decode(data), _of_grey(expected))


def _alpha():
    return np.random.default_rng(0).integers(0, 256, (24, 40), np.uint8)


def _on_white(pixels, alpha):
    share = np.asarray(alpha, float)[..., None] / 255
    return np.asarray(pixels, float) * share + 255 * (1 - share)


def _grey_with_alpha():
    grey = photo()[..., 0]
    image = Image.fromarray(np.dstack([grey, _alpha()]), "LA")
    return encoded(image, "PNG"), _on_white(_of_grey(grey), _alpha())


def _palette_with_alpha():
    rng = np.random.default_rng(1)
    colors, alpha = rng.integers(0, 256, (16, 3)), rng.integers(0, 256, 16)
    indices = rng.integers(0, 16, (24, 40), np.uint8)
    image = Image.frombytes("P", (40, 24), indices.tobytes())
    image.putpalette(colors.ravel().tolist())
    data = encoded(image, "PNG", transparency=bytes(alpha.tolist()))
    return data, _on_white(colors[indices], alpha[indices])


def _key(pixels, key, mode):
    """An image where one colour is transparent."""
    image = Image.fromarray(pixels)
    assert image.mode == mode
    data = encoded(image, "PNG", transparency=key)
    deep = pixels.dtype == np.uint16
    shown = np.rint(pixels / 257) if deep else pixels
    expected = shown if pixels.ndim == 3 else _of_grey(shown)
    expected = expected.copy()
    gone = pixels == key
    expected[gone.all(axis=2) if pixels.ndim == 3 else gone] = 255
    assert 0 < (expected == 255).all(axis=2).mean() < 1
    return data, expected


def _rgba():
    return np.dstack([photo(), _alpha()])


TRANSPARENT = {
    "png": lambda: (encoded(_rgba(), "PNG"), _on_white(photo(), _alpha())),
    "tiff": lambda: (encoded(_rgba(), "TIFF"), _on_white(photo(), _alpha())),
    "webp": lambda: (
        encoded(_rgba(), "WEBP", lossless=True, exact=True),
        _on_white(photo(), _alpha()),
    ),
    "grey": _grey_with_alpha,
    "palette": _palette_with_alpha,
    "grey key": lambda: _key(photo()[..., 0], int(photo()[3, 3, 0]), "L"),
    "16-bit key": lambda: _key(
        photo()[..., 0] * np.uint16(200), 200 * int(photo()[3, 3, 0]), "I;16"
    ),
    "color key": lambda: _key(photo(), tuple(photo()[3, 3].tolist()), "RGB"),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_is_on_white(name):
    data, expected = TRANSPARENT[name]()
    assert np.abs(_decode(data) - expected).max() <= 1


def _inks():
    return np.random.default_rng(2).integers(0, 256, (24, 40, 4), np.uint8)


def test_cmyk_follows_the_plain_formula():
    inks = _inks().astype(float)
    expected = (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255
    data = encoded(Image.fromarray(_inks(), "CMYK"), "TIFF")
    assert np.abs(_decode(data) - expected).max() <= 1


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpegs_are_shown_as_tensorflow_shows_them(adobe):
    image = Image.fromarray(photo()).convert("CMYK")
    data = encoded(image, "JPEG", quality=95)
    if not adobe:
        # Without Adobe's marker, the inks are not taken for inverted.
        start = data.index(b"\xff\xee")
        data = data[:start] + data[start + 16 :]
    expected = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
    difference = np.abs(_decode(data) - expected.numpy().astype(int))
    assert difference.max() <= 1
    if adobe:
        assert np.abs(_decode(data) - photo().astype(int)).mean() < 6


def test_colour_profiles_are_ignored():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    # One that shows red as green and green as red.
    swapped = profile.tobytes().replace(b"rXYZ", b"none")
    swapped = swapped.replace(b"gXYZ", b"rXYZ").replace(b"none", b"gXYZ")
    shown = ImageCms.profileToProfile(
        Image.fromarray(photo()), io.BytesIO(swapped), profile
    )
    assert np.abs(np.asarray(shown) - photo().astype(int)).mean() > 20
    data = encoded(photo(), "PNG", icc_profile=swapped)
    np.testing.assert_array_equal(_decode(data), photo())


# By the standard, where the stored row 0 and column 0 are to be shown.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: np.rot90(a[:, ::-1]),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a[:, ::-1], -1),
    8: np.rot90,
    9: lambda a: a,  # Not of the standard.
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_orientation_is_the_same_everywhere(tmp_path, file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(photo(), file_format, exif=exif, **lossless)
    stored = photo()
    if file_format == "JPEG":
        stored = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE").numpy()
    expected = UPRIGHT[orientation](stored)
    np.testing.assert_array_equal(_decode(data), expected)
    (tmp_path / "a").write_bytes(data)
    np.testing.assert_array_equal(load_image(tmp_path / "a").pixels, expected)
    # A box refers to the upright image.
    part = load_image(tmp_path / "a", (3, 5, 20, 19)).pixels
    np.testing.assert_array_equal(part, expected[5:19, 3:20])
    # What training sees has passed through a JPEG.
    record = images.as_jpeg(data)
    seen = tf.io.decode_jpeg(record.data).numpy().astype(int)
    assert np.abs(seen - expected).mean() < 6
    kept = file_format == "JPEG" and orientation in (1, 9)
    assert record.converted != kept


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_pictures_is_taken(file_format):
    first, second = (Image.fromarray(photo() // k) for k in (1, 4))
    lossless = {"lossless": True} if file_format == "WEBP" else {}
    options = {"save_all": True, "append_images": [second], **lossless}
    data = encoded(first, file_format, **options)
    np.testing.assert_array_equal(
        _decode(data), _decode(encoded(first, file_format, **lossless))
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_is_of_pixels_and_exact():
    for file_format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        data = encoded(photo(), file_format)
        before = Image.MAX_IMAGE_PIXELS
        assert _decode(data, max_pixels=24 * 40).shape == (24, 40, 3)
        with pytest.raises(UnreadableImageError, match="--max_image_pixels"):
            _decode(data, max_pixels=24 * 40 - 1)
        # Other users of Pillow keep their own limit.
        assert before == Image.MAX_IMAGE_PIXELS


def test_a_raised_limit_is_above_that_of_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for file_format in ("PNG", "WEBP", "GIF", "TIFF"):
        data = encoded(photo(), file_format)
        assert _decode(data, max_pixels=1000).shape == (24, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("size", [(1, 1), (20, 20000), (20000, 20)])
def test_extreme_sizes_are_images(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(_decode(encoded(pixels, "PNG")), pixels)
    record = images.as_jpeg(encoded(pixels, "PNG"))
    assert (record.height, record.width) == size
    crop = training_image(tf.constant(record.data), 32, tf.constant([0, 1]))
    assert np.isfinite(crop).all()


def test_a_side_that_no_jpeg_has_cannot_be_stored():
    data = encoded(np.zeros((1, 65501), np.uint8), "PNG")
    assert _decode(data).shape == (1, 65501, 3)
    with pytest.raises(UnreadableImageError, match="65500"):
        images.as_jpeg(data)


def test_what_is_no_file_is_unreadable(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with open(tmp_path / "film.jpg", "wb") as file:
        file.truncate(65 << 20)
    reasons = {
        "folder.jpg": "is a folder",
        "pipe.jpg": "no regular file",
        "link.jpg": "No such file",
        "none.jpg": "No such file",
        "film.jpg/a.jpg": "cannot be read",
        "a\0b.jpg": "cannot be read",
        "x" * 300 + ".jpg": "cannot be read",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(tmp_path / name)
    with pytest.raises(UnreadableImageError, match="68157440 bytes"):
        read_image(tmp_path / "film.jpg", max_pixels=1000)
    if os.geteuid() != 0:  # Who may read everything.
        (tmp_path / "film.jpg").chmod(0)
        with pytest.raises(UnreadableImageError, match="denied"):
            read_image(tmp_path / "film.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_the_builder_stores_training_decodes():
    """Pillow shows some damaged JPEGs that TensorFlow refuses."""
    rng = np.random.default_rng(3)
    jpeg, progressive, restarts = (
        encoded(photo(), "JPEG", **options)
        for options in ({}, {"progressive": True}, {"restart_marker_rows": 1})
    )
    # A download whose end is missing: zeros where it should be.
    cut = jpeg[:-2] + bytes(100)
    candidates = [jpeg, cut]
    for data in (jpeg, progressive, restarts):
        candidates += hostile_images.mutations(data, 500, rng)
    converted = []
    for data in candidates:
        try:
            record = images.as_jpeg(data, max_pixels=10**6)
        except UnreadableImageError:
            continue
        seen = tf.io.decode_jpeg(record.data, dct_method="INTEGER_ACCURATE")
        assert seen.shape == (record.height, record.width, 3)
        if not record.converted:
            np.testing.assert_array_equal(seen, _decode(data))
        converted.append(record.converted)
    assert len(converted) > 100
    assert converted[:2] == [False, True]


@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="reads memory from /proc"
)
def test_hostile_files_take_neither_long_nor_much_memory():
    tests = pathlib.Path(__file__).parent
    done = subprocess.run(
        [sys.executable, tests / "decode_hostile_images.py", "0", "500"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tests.parent)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    # A wrong header alone may give a picture, partly grey.
    valid = [name for name, reason in result["reasons"].items() if not reason]
    assert valid == ["jpeg of fewer rows than it says"]
    for name, reason in result["reasons"].items():
        if "billion" in name or "2^62" in name:
            assert "--max_image_pixels" in reason, name
    # A megapixel takes up to 25 MiB.
    assert result["files_mib"] < 30
    assert result["mutations_mib"] < 30
    assert result["refused"] > result["valid"] > 500
