"""Codes and packed files, against slow derivations and literal bytes."""

import dataclasses

import numpy as np
import pytest
from feature_files import unit_features

from delg_tf.common.errors import InputError
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.formats import LOCAL_FORMATS, feature_bytes
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.packed_file import (
    parse_packed,
    read_packed,
    serialize_packed,
    write_packed,
)
from delg_tf.features.local_features import LocalFeatures

NAMES = ("locations", "descriptors", "scales", "attention", "orientations")


def test_float32_keeps_every_bit():
    features = unit_features(50, oriented=True)
    encoded = EncodedFeatures.encode(features, "float32")
    assert encoded.nbytes == 50 * (feature_bytes("float32", 128) + 4)
    for name in NAMES:
        np.testing.assert_array_equal(
            getattr(encoded.decode(), name), getattr(features, name), name
        )


@pytest.mark.parametrize("local_format", LOCAL_FORMATS)
@pytest.mark.parametrize("depth", [3, 40, 128])
def test_formats_keep_their_word(local_format, depth):
    features = unit_features(200, depth, side=20_000)
    encoded = EncodedFeatures.encode(features, local_format)
    assert encoded.nbytes == 200 * feature_bytes(local_format, depth)
    decoded = encoded.decode()
    worst = np.abs(decoded.locations - features.locations).max()
    # float32 itself has steps of 1/512 pixel there.
    assert worst <= 1 / 512 + 1 / 1024
    for name in ("scales", "attention"):
        np.testing.assert_allclose(
            getattr(decoded, name), getattr(features, name), rtol=2**-11
        )
    norms = np.linalg.norm(decoded.descriptors, axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-3)
    # A copy of a copy is the copy.
    again = EncodedFeatures.encode(decoded, local_format)
    assert again.codes.tobytes() == encoded.codes.tobytes()
    assert again.geometry.table.tobytes() == encoded.geometry.table.tobytes()


def test_binary_codes_are_the_signs():
    features = unit_features(30, 128)
    codes = EncodedFeatures.encode(features, "binary").codes
    assert codes.shape == (30, 16)
    decoded = EncodedFeatures.encode(features, "binary").descriptors()
    for row, descriptor in enumerate(features.descriptors):
        for column, value in enumerate(descriptor):
            bit = int(codes[row, column // 8]) >> (7 - column % 8) & 1
            assert bit == (value > 0)
            sign = 1 if value > 0 else -1
            assert decoded[row, column] == np.float32(sign / 128**0.5)
    for first, second in [(0, 1), (2, 3), (4, 4)]:
        differ = codes[first] ^ codes[second]
        hamming = sum(bin(byte).count("1") for byte in differ)
        squared = np.sum((decoded[first] - decoded[second]) ** 2)
        assert squared == pytest.approx(4 * hamming / 128, abs=1e-5)


def test_int8_takes_the_whole_range_of_each_descriptor():
    features = unit_features(100, 128)
    encoded = EncodedFeatures.encode(features, "int8")
    assert (np.abs(encoded.codes.astype(int)).max(axis=1) == 127).all()
    for code, descriptor in zip(encoded.codes, features.descriptors):
        step = np.abs(descriptor).max() / 127
        np.testing.assert_allclose(code * step, descriptor, atol=0.501 * step)
    cosines = np.sum(encoded.descriptors() * features.descriptors, axis=1)
    assert cosines.min() > 0.9999


def test_extreme_places_and_scores():
    features = LocalFeatures(
        locations=[[-0.5, 0], [300_000.5, 7.25]],
        descriptors=[[0, 1], [1, 0]],
        scales=[0.5, 1e6],
        attention=[1e30, 0],
        orientations=[0, 0],
    )
    decoded = EncodedFeatures.encode(features, "int8").decode()
    np.testing.assert_allclose(decoded.locations, features.locations, atol=0.05)
    np.testing.assert_allclose(decoded.scales, [0.5, 1e6], rtol=1e-3)
    np.testing.assert_allclose(decoded.attention, [1e30, 0], rtol=1e-3)


@pytest.mark.parametrize("local_format", LOCAL_FORMATS)
def test_no_features(local_format):
    for depth in (0, 128):
        encoded = EncodedFeatures.encode(
            LocalFeatures.empty(depth), local_format
        )
        image = CompactImage(np.zeros(0, np.float32), encoded)
        read = parse_packed(serialize_packed(image))
        assert read.global_descriptor.size == 0
        assert read.local.decode().descriptors.shape == (0, depth)


def test_what_does_not_fit_is_refused():
    long = dataclasses.replace(
        unit_features(3), descriptors=np.full((3, 128), 1e5)
    )
    for local_format in ("int8", "binary"):
        with pytest.raises(InputError, match="unit length"):
            EncodedFeatures.encode(long, local_format)
    with pytest.raises(InputError, match="too large for float16"):
        EncodedFeatures.encode(long, "float16")
    with pytest.raises(ValueError, match="`local_format` must"):
        EncodedFeatures.encode(long, "int4")


def test_packed_file_byte_by_byte(tmp_path):
    features = LocalFeatures([[1, -0.5]], [[0.6, 0, -0.8]], [0.5], [3.0], [0.0])
    image = CompactImage.make(
        np.array([1.0, 0.0]), features, "binary", "float16"
    )
    path = tmp_path / "new" / "a.delg_packed"
    write_packed(path, image)
    data = path.read_bytes()
    assert data[:44] == b"DELGPACK" + bytes.fromhex(
        "0100 03 01 00 00 0000"  # version 1, binary, float16, no orientation
        "01000000 03000000 02000000"  # a feature of 3 numbers, 2 global ones
        "0000803b 00000038 00000039"  # 1/256 pixel, 2^-15, 2^-13
        "00000000"
    )
    assert data[48:] == bytes.fromhex(
        "003c 0000"  # 1, 0
        "80"  # above 0, not, not
        "000180 80ff7f"  # 2^23 + 256, 2^23 - 128
        "0074 0076"  # 2^14, 1.5 * 2^14
    )
    read = read_packed(path)
    np.testing.assert_array_equal(read.local.locations, features.locations)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.delg_packed"]


def test_any_damage_to_a_packed_file_is_told(tmp_path):
    image = CompactImage.make(np.ones(4) / 2, unit_features(3, 8), "float16")
    data = serialize_packed(image)
    path = tmp_path / "a.delg_packed"
    for position in range(len(data)):
        for changed in (
            data[:position],
            data[:position]
            + bytes([data[position] ^ 4])
            + data[position + 1 :],
        ):
            with pytest.raises(InputError, match=r"^a\.packed "):
                parse_packed(changed, "a.packed")
    path.write_bytes(data + b"\0")
    with pytest.raises(InputError, match=r"a\.delg_packed is damaged"):
        read_packed(path)
