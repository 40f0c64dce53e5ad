"""Feature files against protobuf and against bytes written by hand."""

import numpy as np
import pytest
from google.protobuf import message as protobuf_message

from delg_tf.common.errors import InputError
from delg_tf.features import box_io, datum_io, feature_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.protos import box_pb2, datum_pb2, feature_pb2

NAMES = ("locations", "descriptors", "scales", "attention", "orientations")


def some_features(count, depth, seed=0):
    rng = np.random.default_rng(seed)
    return LocalFeatures(
        locations=rng.uniform(-5, 1000, (count, 2)),
        descriptors=rng.normal(size=(count, depth)),
        scales=rng.uniform(0.5, 4, count),
        attention=rng.uniform(0, 500, count),
        orientations=rng.uniform(-3, 3, count),
    )


def field_by_field(features):
    """The message as the official code fills it."""
    message = feature_pb2.DelfFeatures()
    for row in range(len(features)):
        feature = message.feature.add()
        feature.y, feature.x = features.locations[row].tolist()
        feature.scale = float(features.scales[row])
        feature.orientation = float(features.orientations[row])
        feature.strength = float(features.attention[row])
        descriptor = features.descriptors[row]
        feature.descriptor.shape.dim.append(len(descriptor))
        for value in descriptor.tolist():
            feature.descriptor.float_list.value.append(value)
    return message


def assert_equal_features(actual, expected):
    for name in NAMES:
        np.testing.assert_array_equal(
            getattr(actual, name), getattr(expected, name), err_msg=name
        )
        assert getattr(actual, name).dtype == np.float32


# Depths whose lengths take one, two and three bytes in the message.
@pytest.mark.parametrize("depth", [1, 5, 31, 32, 128, 5000])
def test_bytes_are_those_of_the_official_message(depth):
    features = some_features(3, depth)
    data = feature_io.serialize_local_features(features)
    assert data == field_by_field(features).SerializeToString()
    assert_equal_features(feature_io.parse_local_features(data), features)


def test_tiny_message_byte_by_byte(tmp_path):
    expected = bytes.fromhex(
        "0a 28"  # feature, 40 bytes
        "0a 0d"  # descriptor, 13 bytes
        "0a 03 0a 01 01"  # shape: dim: 1
        "12 06 0a 04 0000803f"  # float_list: value: 1.0
        "15 00000040"  # x: 2.0
        "1d 000000bf"  # y: -0.5
        "25 0000803e"  # scale: 0.25
        "2d 00000000"  # orientation: 0.0
        "35 0000c842"  # strength: 100.0
    )
    features = LocalFeatures([[-0.5, 2]], [[1]], [0.25], [100], [0])
    path = tmp_path / "new" / "a.delg_local"
    feature_io.write_local_features(path, features)
    assert path.read_bytes() == expected
    assert_equal_features(feature_io.read_local_features(path), features)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.delg_local"]


def test_no_features_are_no_bytes(tmp_path):
    path = tmp_path / "a.delf"
    feature_io.write_local_features(path, LocalFeatures.empty(40))
    assert path.read_bytes() == b""
    features = feature_io.read_local_features(path)
    assert len(features) == 0
    assert features.locations.shape == (0, 2)
    assert features.descriptors.ndim == 2


def slow_reading(data):
    """What protobuf reads, one field at a time; None if it is not valid."""
    try:
        message = feature_pb2.DelfFeatures.FromString(data)
    except protobuf_message.DecodeError:
        return None
    descriptors = []
    for feature in message.feature:
        values = list(feature.descriptor.float_list.value)
        if list(feature.descriptor.shape.dim) != [len(values)]:
            return None
        descriptors.append(values)
    if len({len(values) for values in descriptors}) != 1:
        return None
    table = [
        [f.y, f.x, f.scale, f.strength, f.orientation, *values]
        for f, values in zip(message.feature, descriptors, strict=True)
    ]
    table = np.array(table, np.float32)
    return table if np.isfinite(table).all() and descriptors[0] else None


def test_any_damaged_byte_is_read_as_protobuf_reads_it():
    data = feature_io.serialize_local_features(some_features(2, 3))
    read = refused = 0
    for position in range(len(data)):
        for mask in (0x01, 0x02, 0x08, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= mask
            expected = slow_reading(bytes(damaged))
            if expected is None:
                refused += 1
                with pytest.raises(InputError, match=r"a\.delf"):
                    feature_io.parse_local_features(bytes(damaged), "a.delf")
                continue
            read += 1
            actual = feature_io.parse_local_features(bytes(damaged))
            np.testing.assert_array_equal(actual.locations, expected[:, :2])
            np.testing.assert_array_equal(actual.scales, expected[:, 2])
            np.testing.assert_array_equal(actual.attention, expected[:, 3])
            np.testing.assert_array_equal(actual.orientations, expected[:, 4])
            np.testing.assert_array_equal(actual.descriptors, expected[:, 5:])
    assert read > 100 and refused > 100


def test_fields_that_other_writers_leave_out_or_reorder():
    features = some_features(2, 4)
    message = field_by_field(features)
    message.feature[1].ClearField("orientation")
    features.orientations[1] = 0
    assert_equal_features(
        feature_io.parse_local_features(message.SerializeToString()), features
    )
    # x before the descriptor, in a feature of the usual length.
    x = feature_pb2.DelfFeature(x=3.0).SerializeToString()
    rest = message.feature[0]
    rest.ClearField("x")
    body = x + rest.SerializeToString()
    actual = feature_io.parse_local_features(
        b"\x0a" + bytes([len(body)]) + body
    )
    assert actual.locations[0, 1] == 3.0
    np.testing.assert_array_equal(actual.descriptors, features.descriptors[:1])


def test_truncated_file_names_the_file(tmp_path):
    data = feature_io.serialize_local_features(some_features(2, 2))
    path = tmp_path / "cut.delg_local"
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        if length == len(data) // 2:  # A whole feature: protobuf cannot tell.
            assert len(feature_io.read_local_features(path)) == 1
            continue
        with pytest.raises(InputError, match=r"cut\.delg_local"):
            feature_io.read_local_features(path)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xd8\xff\xe0 a JPEG", b"plain text", b"\x18\x01", bytes(50)],
)
@pytest.mark.parametrize(
    "read",
    [
        feature_io.read_local_features,
        feature_io.read_global_descriptor,
        datum_io.read_datum,
        datum_io.read_datum_pair,
        box_io.read_boxes,
    ],
)
def test_files_of_another_kind(tmp_path, read, content):
    path = tmp_path / "other.bin"
    with pytest.raises(InputError, match=r"other\.bin.*does not exist"):
        read(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"other\.bin"):
        read(path)


def test_descriptors_of_different_depths_are_refused():
    message = field_by_field(some_features(1, 3))
    message.MergeFrom(field_by_field(some_features(1, 4)))
    with pytest.raises(InputError, match="different shapes"):
        feature_io.parse_local_features(message.SerializeToString())


def test_values_that_are_not_finite_are_refused():
    message = field_by_field(some_features(2, 3))
    message.feature[1].descriptor.float_list.value[0] = np.nan
    with pytest.raises(InputError, match=r"b\.delf.*descriptors"):
        feature_io.parse_local_features(message.SerializeToString(), "b.delf")
    with pytest.raises(ValueError, match="finite"):
        feature_io.serialize_global_descriptor(np.array([1, np.inf]))


def test_global_descriptor(tmp_path):
    path = tmp_path / "a.delg_global"
    feature_io.write_global_descriptor(path, np.array([1.0, -2.0]))
    # shape {dim: 2} float_list {value: 1, -2}
    assert path.read_bytes().hex(" ") == (
        "0a 03 0a 01 02 12 0a 0a 08 00 00 80 3f 00 00 00 c0"
    )
    descriptor = feature_io.read_global_descriptor(path)
    assert descriptor.dtype == np.float32
    np.testing.assert_array_equal(descriptor, [1, -2])
    datum_io.write_datum(path, np.zeros((2, 2)))
    with pytest.raises(InputError, match="no global descriptor"):
        feature_io.read_global_descriptor(path)
    with pytest.raises(ValueError, match="vector"):
        feature_io.serialize_global_descriptor(np.zeros((1, 4)))


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("float16", "float_list"),
        ("float32", "float_list"),
        ("float64", "float_list"),
        ("uint8", "uint32_list"),
        ("uint16", "uint32_list"),
        ("uint32", "uint32_list"),
        ("uint64", "uint32_list"),
    ],
)
# The last one's length takes two bytes in the message, or three.
@pytest.mark.parametrize("shape", [(2, 3), (6,), (0,), (3, 0), (), (60, 70)])
def test_datum_types(dtype, stored, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    data = datum_io.serialize_datum(array)
    expected = datum_pb2.DatumProto()
    expected.shape.dim.extend(shape)
    getattr(expected, stored).value.extend(array.ravel().tolist())
    assert data == expected.SerializeToString()
    back = datum_io.parse_datum(data)
    assert back.dtype == {"f": np.float32, "u": np.uint32}[stored[0]]
    assert back.shape == shape
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool", "complex64", "U1"])
def test_datum_refuses_other_types(dtype):
    with pytest.raises(ValueError, match="floating-point or unsigned"):
        datum_io.array_to_datum(np.zeros(2, dtype))


def test_datum_refuses_wrong_numbers():
    with pytest.raises(ValueError, match="32-bit"):
        datum_io.array_to_datum(np.array([2**32], np.uint64))
    for shape in ([2, 2], [-1, -3], [], [2**40, 2**40]):
        datum = datum_io.array_to_datum(np.zeros(3))
        del datum.shape.dim[:]
        datum.shape.dim.extend(shape)
        with pytest.raises(
            InputError, match=r"p\.datum is damaged: it holds 3"
        ):
            datum_io.parse_datum(datum.SerializeToString(), "p.datum")
    only_shape = datum_pb2.DatumProto()
    only_shape.shape.dim.append(3)
    with pytest.raises(InputError, match="no array"):
        datum_io.parse_datum(only_shape.SerializeToString())


def test_datum_pair(tmp_path):
    first = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    words = np.array([7, 0, 65535], np.uint16)
    path = tmp_path / "a.asmk"
    datum_io.write_datum_pair(path, first, words)
    expected = datum_pb2.DatumPairProto()
    expected.first.shape.dim.extend([3, 4])
    expected.first.float_list.value.extend(first.ravel().tolist())
    expected.second.shape.dim.append(3)
    expected.second.uint32_list.value.extend([7, 0, 65535])
    assert path.read_bytes() == expected.SerializeToString()
    back = datum_io.read_datum_pair(path)
    np.testing.assert_array_equal(back[0], first)
    np.testing.assert_array_equal(back[1], words)
    expected.ClearField("second")
    path.write_bytes(expected.SerializeToString())
    with pytest.raises(InputError, match=r"a\.asmk \(second array\)"):
        datum_io.read_datum_pair(path)


def test_boxes(tmp_path):
    detected = box_io.DetectedBoxes(
        boxes=[[0.125, 0.25, 0.5, 0.75], [0, 0, 1, 1]],
        scores=[0.875, 0.5],
        class_indices=[3, 0],
    )
    path = tmp_path / "a.boxes"
    box_io.write_boxes(path, detected)
    expected = box_pb2.Boxes()
    box = expected.box.add()
    box.ymin, box.xmin, box.ymax, box.xmax = 0.125, 0.25, 0.5, 0.75
    box.score, box.class_index = 0.875, 3
    box = expected.box.add()
    box.ymin = box.xmin = 0
    box.ymax = box.xmax = 1
    box.score, box.class_index = 0.5, 0
    assert path.read_bytes() == expected.SerializeToString()
    back = box_io.read_boxes(path)
    np.testing.assert_array_equal(back.boxes, detected.boxes)
    np.testing.assert_array_equal(back.scores, detected.scores)
    np.testing.assert_array_equal(back.class_indices, [3, 0])
    path.write_bytes(b"")
    assert box_io.read_boxes(path).boxes.shape == (0, 4)
    with pytest.raises(ValueError, match="boxes"):
        box_io.DetectedBoxes(np.zeros((2, 3)), np.zeros(2), np.zeros(2))


def test_top_is_stable():
    features = LocalFeatures(
        locations=np.arange(10).reshape(5, 2),
        descriptors=np.arange(5)[:, None],
        scales=np.ones(5),
        attention=[1, 3, 2, 3, 2],
        orientations=np.zeros(5),
    )
    best = features.top(4)
    assert best.descriptors[:, 0].tolist() == [1, 3, 2, 4]
    assert best.locations[0].tolist() == [2, 3]
    tied = some_features(200, 1)
    tied.attention[:] = np.random.default_rng(0).integers(0, 3, 200)
    order = sorted(range(200), key=lambda row: -tied.attention[row])
    np.testing.assert_array_equal(
        tied.top(150).scales, tied.scales[order[:150]]
    )
    assert len(features.top(9)) == 5 and len(features.top(0)) == 0
    with pytest.raises(ValueError, match="`k`"):
        features.top(-1)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_that_do_not_belong_together(name):
    good = some_features(4, 3)
    arrays = {key: getattr(good, key) for key in NAMES}
    for wrong in (arrays[name][:3], arrays[name][..., None], np.float32(1)):
        with pytest.raises(ValueError, match="must have the shape"):
            LocalFeatures(**{**arrays, name: wrong})
    for wrong in (arrays[name] * np.nan, arrays[name].astype(str)):
        with pytest.raises(ValueError, match=f"`{name}`"):
            LocalFeatures(**{**arrays, name: wrong})
