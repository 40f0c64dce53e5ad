"""Damaged records are found before training, and what is sound is kept."""

import logging
import random

import numpy as np
import pytest
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.data import (
    dataset_info,
    record_check,
    record_frames,
    record_labels,
    records,
)
from delg_tf.data.record_check import check_record_files


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(record_frames, "_BLOCK_FRAMES", 3)


def _write(path, *items):
    with records.atomic_record_writer(path) as writer:
        for item in items:
            writer.write(item)
    return path.read_bytes()


def _contents(index):
    """What the pipeline would read, through the index."""
    found = []
    for parts in zip(index.paths, index.offsets, index.counts):
        dataset = tf.data.Dataset.from_tensors(parts)
        segment = dataset.flat_map(records.segment_records)
        found += [item.decode() for item in segment.as_numpy_iterator()]
    return found


ITEMS = [b"one", b"", b"three", b"4" * 30, b"five", b"six"]
SIZES = [16 + len(item) for item in ITEMS]
ENDS = np.cumsum(SIZES)


def test_every_cut(tmp_path):
    """However a file is cut, its complete records are found."""
    path = tmp_path / "train-00000-of-00001"
    whole = _write(path, *ITEMS)
    assert len(whole) == ENDS[-1]
    for length in range(1, len(whole) + 1):
        path.write_bytes(whole[:length])
        frames = record_frames.find_frames(str(path))
        complete = int((length >= ENDS).sum())
        assert frames.lengths.tolist() == [len(i) for i in ITEMS[:complete]]
        if length in ENDS:
            assert frames.damage is None
        else:
            assert frames.damage.offset == sum(SIZES[:complete])
            assert "ends inside" in frames.damage.reason


@pytest.mark.parametrize("of", range(len(ITEMS)))
def test_changed_bytes(tmp_path, of):
    """Data that changed costs its record; a length, the rest of the file."""
    path = tmp_path / "train-00000-of-00001"
    whole = _write(path, *ITEMS)
    names = [item.decode() for item in ITEMS]
    begin = int(ENDS[of]) - SIZES[of]
    # In the length (those of the first frame tell what the file is), in its
    # checksum, in the data or its checksum, in the checksum.
    for within in (3, 9, 12, SIZES[of] - 1)[2 * (of == 0) :]:
        changed = bytearray(whole)
        changed[begin + within] ^= 1 << within % 8
        path.write_bytes(changed)
        index = check_record_files(str(path), max_bad_records=6)
        (damage,) = index.damages
        assert damage.offset == begin
        after = names[of + 1 :] if within >= 12 else []
        assert _contents(index) == names[:of] + after
    with pytest.raises(InputError, match=f"byte {begin}: "):
        check_record_files(str(path))


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "train-00000-of-00001"
    changed = bytearray(_write(path, *ITEMS))
    changed[2] ^= 1
    path.write_bytes(changed)
    with pytest.raises(InputError, match=r"no \(uncompressed\) TFRecord"):
        check_record_files(str(path), max_bad_records=6)


def test_several_damages_in_several_files(tmp_path, caplog):
    first, second, third = (
        tmp_path / f"train-0000{i}-of-00003" for i in range(3)
    )
    data = bytearray(_write(first, b"a", b"b", b"c", b"d"))
    for record in (1, 2):
        data[17 * record + 12] ^= 1
    first.write_bytes(data)
    _write(second)
    second_size = len(_write(third, b"e", b"f"))
    third.write_bytes(third.read_bytes()[: second_size - 1])
    pattern = str(tmp_path / "train-*")
    with caplog.at_level(logging.WARNING):
        index = check_record_files(pattern, max_bad_records=3)
    assert _contents(index) == ["a", "d", "e"] and index.images == 3
    assert index.counts.tolist() == [1, 1, 0, 1]
    assert f"{first}, byte 17: the data's checksum" in caplog.text
    assert f"{third}, byte 17: the file ends inside" in caplog.text
    with pytest.raises(InputError, match="about 3 records") as raised:
        check_record_files(pattern, max_bad_records=2)
    assert str(first) in str(raised.value) and str(third) in str(raised.value)
    # Without a look at the data, only the cut is seen.
    frames_only = check_record_files(pattern, max_bad_records=1, data=False)
    assert frames_only.images == 5


def test_zeros_at_the_end_are_no_records(tmp_path):
    path = tmp_path / "train-00000-of-00001"
    whole = _write(path, b"abc", b"def")
    path.write_bytes(whole + bytes(1000))  # As crashes leave files.
    frames = record_frames.find_frames(str(path))
    assert len(frames.offsets) == 2 and frames.damage.offset == len(whole)
    assert frames.damage.records == round(1000 / 19)


def test_files_that_only_tensorflow_opens(tmp_path):
    path = tmp_path / "train-00000-of-00001"
    _write(path, *ITEMS)
    index = check_record_files(f"file://{path}")
    assert _contents(index) == [item.decode() for item in ITEMS]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="ends inside"):
        check_record_files(f"file://{path}")


# --- labels -----------------------------------------------------------------


def _feature(key, *, image=None, values=None, packed=True):
    """The entry of a map, as any writer of protobuf may order and pack it."""
    features = tf.train.Features()
    if image is not None:
        features.feature[key].bytes_list.value.append(image)
        return features.SerializeToString()
    features.feature[key].int64_list.value.extend(values)
    if packed:
        return features.SerializeToString()
    assert all(value < 128 for value in values)
    items = b"".join(bytes([0x08, value]) for value in values)
    value = bytes([0x1A, len(items)]) + items
    entry = bytes([0x0A, len(key)]) + key.encode()
    entry += bytes([0x12, len(value)]) + value
    return bytes([0x0A, len(entry)]) + entry


def _example(entries):
    body = b"".join(entries)
    length, size = b"", len(body)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return b"\x0a" + length + bytes([size]) + body


KEY = "image/class/label"


def _examples():
    """Examples in many layouts, some without one label."""
    generator = random.Random(0)
    others = [
        _feature("image/encoded", image=generator.randbytes(5000)),
        _feature("image/id", image=b"image/class/label"),
        _feature("image/height", values=[480]),
        _feature("image/colorspace", image=b"RGB"),
        _feature("x" * 200, image=b"a long key"),
    ]
    labels = [[0], [1], [127], [128], [203093], [1 << 40], [-1], [-(1 << 63)]]
    for values in [*labels, [], [1, 2]]:
        entry = _feature(KEY, values=values)
        for _ in range(4):
            entries = [entry, *generator.sample(others, 4)]
            generator.shuffle(entries)
            yield _example(entries)
    yield _example([others[0], _feature(KEY, values=[5], packed=False)])
    yield _example([_feature(KEY, values=[5, 6], packed=False)])
    yield _example([_feature(KEY, image=b"5"), others[0]])
    yield _example(others)
    yield b""
    yield _example(others)[:-1]
    yield b"\xff\xd8 no example at all"


def test_labels_equal_protobuf(tmp_path):
    items = list(_examples())
    path = str(tmp_path / "train-00000-of-00001")
    _write(tmp_path / "train-00000-of-00001", *items)
    frames = record_frames.find_frames(path)
    expected, bad = [], []
    for offset, item in zip(frames.offsets, items, strict=True):
        try:
            example = tf.train.Example.FromString(item)
            (value,) = example.features.feature[KEY].int64_list.value
        except Exception:
            value = -1
            bad.append(offset)
        expected.append(value)
    labels, damages = record_labels.read_labels(path, frames)
    assert labels.tolist() == expected
    assert [damage.offset for damage in damages] == bad
    assert len(bad) == 14


def test_own_records_are_not_parsed(tmp_path, monkeypatch):
    """Labels of our records are found the fast way."""
    path = tmp_path / "train-00000-of-00001"
    jpeg = bytes(range(256)) * 50
    labels = [0, 3, 200, 81312]
    _write(
        path, *(records.encode_example(jpeg, b"id", 9, 9, i) for i in labels)
    )
    monkeypatch.delattr(record_labels, "_parsed_label")
    frames = record_frames.find_frames(str(path))
    assert record_labels.read_labels(str(path), frames)[0].tolist() == labels


# --- the whole check --------------------------------------------------------


def _set(folder, *labels, promised=None, num_classes=10):
    """One file of records with these labels; None: a record without one."""
    _write(
        folder / "train-00000-of-00001",
        *(records.encode_example(b"jpeg", b"i", 1, 1, i) for i in labels),
    )
    if promised is not None:
        split = dataset_info.SplitInfo(promised, 1, 0)
        info = dataset_info.DatasetInfo(
            num_classes, {"train": split}, True, 0, None, "", "test"
        )
        dataset_info.save_dataset_info(folder, info)
    return str(folder / "train-*")


def test_labels_are_checked(tmp_path):
    pattern = _set(tmp_path, 0, 1, 9)
    index = check_record_files(pattern, num_classes=10)
    assert index.labels.tolist() == [0, 1, 9]
    counts = index.class_counts(11).tolist()
    assert counts == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    size = len((tmp_path / "train-00000-of-00001").read_bytes()) // 3
    with pytest.raises(InputError, match=rf"byte {2 * size}: the label 9 is"):
        check_record_files(pattern, num_classes=9)
    pattern = _set(tmp_path, 0, -1)
    with pytest.raises(InputError, match="the label -1 is"):
        check_record_files(pattern, num_classes=9)


def test_records_without_a_label_count_as_bad(tmp_path):
    pattern = _set(tmp_path, 4, None, 6)
    with pytest.raises(InputError, match="has 0 labels"):
        check_record_files(pattern, num_classes=10)
    index = check_record_files(pattern, max_bad_records=1, num_classes=10)
    assert index.labels.tolist() == [4, 6] and index.counts.tolist() == [1, 1]


def test_dataset_info_stands_for_the_labels(tmp_path):
    pattern = _set(tmp_path, 1, 2, promised=2)
    assert check_record_files(pattern, num_classes=10).labels is None
    assert check_record_files(pattern, num_classes=3).labels is not None
    index = check_record_files(pattern, num_classes=10, labels=True)
    assert index.labels.tolist() == [1, 2]


def test_fewer_records_than_promised(tmp_path):
    pattern = _set(tmp_path, 1, 2, 3, promised=5)
    with pytest.raises(InputError, match=r"dataset_info\.json tells of 5"):
        check_record_files(pattern, max_bad_records=1)
    assert check_record_files(pattern, max_bad_records=2).images == 3
    # More of them, or another set's description, is no reason to stop.
    assert check_record_files(_set(tmp_path, 1, 2, promised=1)).images == 2


def test_nothing_is_left(tmp_path):
    pattern = _set(tmp_path, 1)
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="There are no records in"):
        check_record_files(pattern, max_bad_records=9)


@pytest.mark.parametrize("length", [1, 11, 12, 16])
def test_a_file_that_begins_wrong(tmp_path, length):
    path = tmp_path / "train-00000-of-00001"
    whole = _write(path, b"x" * 100)
    path.write_bytes(whole[:length])
    with pytest.raises(InputError, match="byte 0: the file ends inside"):
        check_record_files(str(path))


def test_many_files_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(record_check, "_FEW_FILES", 4)
    for i in range(6):
        _write(tmp_path / f"train-0000{i}-of-00006", *[b"x"] * (3 + i))
    assert check_record_files(str(tmp_path / "train-*")).counts.tolist() == [
        *range(3, 9)
    ]
