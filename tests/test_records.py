"""Records, shard names and boundaries, and the split."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.data import records, shards, split


def _official_example(with_label=True):
    """A record put together field by field, as the official keys are listed."""
    example = tf.train.Example()
    feature = example.features.feature
    feature["image/height"].int64_list.value.append(48)
    feature["image/width"].int64_list.value.append(64)
    feature["image/colorspace"].bytes_list.value.append(b"RGB")
    feature["image/channels"].int64_list.value.append(3)
    feature["image/format"].bytes_list.value.append(b"JPEG")
    feature["image/id"].bytes_list.value.append(b"0123456789abcdef")
    feature["image/encoded"].bytes_list.value.append(b"\xff\xd8 jpeg")
    if with_label:
        feature["image/class/label"].int64_list.value.append(81312)
    return example


@pytest.mark.parametrize("label", [81312, None])
def test_record_equals_official_example(label):
    data = records.encode_example(
        b"\xff\xd8 jpeg", b"0123456789abcdef", 48, 64, label
    )
    expected = _official_example(label is not None)
    assert tf.train.Example.FromString(data) == expected


def test_parse_gives_scalars_of_the_official_types():
    parsed = records.parse_example(_official_example().SerializeToString())
    values = {key: value.numpy() for key, value in parsed.items()}
    assert values == {
        "image/height": 48,
        "image/width": 64,
        "image/colorspace": b"RGB",
        "image/channels": 3,
        "image/format": b"JPEG",
        "image/id": b"0123456789abcdef",
        "image/encoded": b"\xff\xd8 jpeg",
        "image/class/label": 81312,
    }
    assert all(value.shape == () for value in parsed.values())
    assert {parsed[key].dtype for key in parsed} == {tf.int64, tf.string}


def test_a_missing_label_is_no_class_zero():
    unlabelled = _official_example(False).SerializeToString()
    with pytest.raises(tf.errors.InvalidArgumentError, match="class/label"):
        records.parse_example(unlabelled)
    assert "image/class/label" not in records.parse_example(unlabelled, False)


def test_a_failed_writer_leaves_nothing(tmp_path):
    path = tmp_path / "train-00000-of-00001"
    with (
        pytest.raises(RuntimeError),
        records.atomic_record_writer(path) as writer,
    ):
        writer.write(b"x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def _write(path, *items):
    with records.atomic_record_writer(path) as writer:
        for item in items:
            writer.write(item)


def test_find_record_files(tmp_path, caplog):
    _write(tmp_path / "train-00001-of-00003", b"abc")
    _write(tmp_path / "train-00000-of-00003")  # Empty shards are allowed.
    (tmp_path / "train.csv").write_text("id,url,landmark_id\n")
    found = records.find_record_files(str(tmp_path / "train*"))
    assert [path[-20:] for path in found] == [
        "train-00000-of-00003",
        "train-00001-of-00003",
    ]
    assert "only 2 of 3 train shards" in caplog.text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "No file matches"),
        ({"train-00000-of-00001": b""}, "are empty"),
        ({"train.csv": b"id,url,landmark_id\na,b,c\n"}, "no .*TFRecord"),
        (
            {"train-00000-of-00001": b"", "train-00000-of-00002": b""},
            "several builds: of 1 and of 2",
        ),
    ],
)
def test_find_record_files_refuses(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        records.find_record_files(str(tmp_path / "train*"))


def test_shard_names_and_boundaries():
    # Values of the official builder.
    assert shards.shard_name("train", 0, 128) == "train-00000-of-00128"
    assert shards.shard_boundaries(10, 3).tolist() == [0, 3, 6, 10]
    assert shards.shard_boundaries(5, 8).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 5]
    with pytest.raises(ValueError, match="index"):
        shards.shard_name("train", 128, 128)


# What the official builder gives for twelve images of three classes.
GOLDEN_LABELS = [0] * 5 + [1] + [2] * 6
GOLDEN_SPLITS = {
    (0.2, 0): ([10, 2, 11, 8, 9, 6, 0, 1, 4], [3, 7, 5]),
    (0.5, 7): ([8, 6, 0, 3, 7, 2], [4, 1, 5, 10, 9, 11]),
}


@pytest.mark.parametrize(("fraction", "seed"), GOLDEN_SPLITS)
def test_official_splits(fraction, seed):
    training, validation = split.train_validation_split(
        np.array(GOLDEN_LABELS), fraction, seed, singletons_to_validation=True
    )
    expected = GOLDEN_SPLITS[fraction, seed]
    assert (training.tolist(), validation.tolist()) == expected


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.95])
def test_split_partitions_every_class(fraction):
    labels = np.random.default_rng(1).integers(0, 30, 200)
    labels = np.append(labels, [1000, 77])  # Two classes with one image.
    training, validation = split.train_validation_split(labels, fraction, 3)
    assert sorted([*training, *validation]) == list(range(202))
    held_out = collections.Counter(labels[validation].tolist())
    for label, count in collections.Counter(labels.tolist()).items():
        expected = max(1, int(fraction * count)) if count > 1 else 0
        assert held_out[label] == expected
    again = split.train_validation_split(labels, fraction, 3)
    np.testing.assert_array_equal(again[0], training)
    assert (np.diff(labels[training]) < 0).any()  # Shuffled across classes.
