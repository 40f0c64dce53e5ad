"""Images that cannot be decoded are named, with their file and place."""

import io

import PIL.Image
import pytest
import tensorflow as tf
from training_records import CLASSES, photo

from delg_tf.common.errors import InputError
from delg_tf.data.augmentation import training_image
from delg_tf.data.image_check import find_bad_image
from delg_tf.data.pipeline import (
    PipelineConfig,
    training_dataset,
    validation_dataset,
)
from delg_tf.data.record_check import check_record_files
from delg_tf.data.records import atomic_record_writer, encode_example
from delg_tf.training.input_errors import input_errors
from delg_tf.training.inputs import Records
from delg_tf.training.retrieval_validation import Describer, HeldOut
from delg_tf.training.validation import validate

WHOLE = photo(1, 0)
HALF = WHOLE[: len(WHOLE) // 2]
GARBAGE = b"\xff\xd8\xff no picture" * 40


def _png():
    data = io.BytesIO()
    PIL.Image.open(io.BytesIO(WHOLE)).save(data, "PNG")
    return data.getvalue()


def _write(folder, bad, image_id=b"odd one"):
    """Two files of five records, the ninth and last of them bad."""
    for shard in range(2):
        path = folder / f"train-{shard:05d}-of-00002"
        with atomic_record_writer(path) as writer:
            for i in range(5):
                is_bad = (shard, i) in ((1, 3), (1, 4))
                data, name = (bad, image_id) if is_bad else (WHOLE, b"fine")
                writer.write(encode_example(data, name, 48, 56, i % CLASSES))
    return str(folder / "train-*")


def _offset(path, record):
    """Where a record begins, by walking over the frames."""
    data, offset = path.read_bytes(), 0
    for _ in range(record):
        offset += int.from_bytes(data[offset : offset + 8], "little") + 16
    return offset


@pytest.mark.parametrize("crops", [True, False])
@pytest.mark.parametrize("bad", [HALF, GARBAGE, b""], ids=len)
def test_the_first_bad_image_is_named(tmp_path, bad, crops):
    found = find_bad_image(check_record_files(_write(tmp_path, bad)), crops)
    path = tmp_path / "train-00001-of-00002"
    assert found.path == str(path) and found.record == 3
    assert found.offset == _offset(path, 3)
    assert found.image_id == "odd one"
    assert found.reason and "{{" not in found.reason


def test_positions_count_damaged_records_too(tmp_path):
    pattern = _write(tmp_path, HALF, image_id=b"")
    path = tmp_path / "train-00001-of-00002"
    data = bytearray(path.read_bytes())
    data[_offset(path, 1) + 100] ^= 1
    path.write_bytes(data)
    index = check_record_files(pattern, max_bad_records=1)
    found = find_bad_image(index, crops=True)
    assert found.record == 3 and found.offset == _offset(path, 3)
    assert "record 3 (counted from 0" in str(found)
    assert "an image cannot be decoded" in str(found)


def test_only_pipelines_that_crop_need_jpegs(tmp_path):
    index = check_record_files(_write(tmp_path, _png()))
    assert find_bad_image(index, crops=False) is None
    assert find_bad_image(index, crops=True).record == 3


def test_a_crop_above_the_end_is_decoded():
    """So that a run may go on for long before it meets a JPEG's end."""
    seeds = [tf.constant([0, i], tf.int64) for i in range(40)]
    outcomes = set()
    size = len(WHOLE) * 9 // 10
    for seed in seeds:
        try:
            crop = training_image(tf.constant(WHOLE[:size]), 16, seed)
            expected = training_image(tf.constant(WHOLE), 16, seed)
            tf.debugging.assert_equal(crop, expected)
            outcomes.add("decoded")
        except tf.errors.InvalidArgumentError:
            outcomes.add("refused")
    assert outcomes == {"decoded", "refused"}


def _records(pattern, **changes):
    config = PipelineConfig(pattern, CLASSES, 32, 5, **changes)
    return Records.of(config)


MESSAGE = r"train-00001-of-00002, record 3 .*image odd one.*Build the records"


def test_training_names_it(tmp_path):
    records = _records(_write(tmp_path, HALF))
    with pytest.raises(InputError, match=MESSAGE), input_errors(records):
        for _ in training_dataset(records.pipeline, 10).take(4):
            pass


def test_validation_names_it(tmp_path):
    records = _records(_write(tmp_path, GARBAGE), augment=False)
    strategy = tf.distribute.get_strategy()
    with pytest.raises(InputError, match=MESSAGE):
        validate(lambda *batch: {"images": 5}, strategy, records, 10)


def test_retrieval_names_it(tmp_path):
    records = _records(_write(tmp_path, GARBAGE), augment=False)
    with pytest.raises(InputError, match=MESSAGE):
        Describer(None).describe(HeldOut(records, 10))


def test_labels_that_dataset_info_hides_are_named(tmp_path):
    """Where labels are found in the graph only."""
    pattern = _write(tmp_path, WHOLE)
    records = _records(pattern)
    fewer = PipelineConfig(pattern, 2, 32, 5)
    records = Records(fewer, records.index)
    with (
        pytest.raises(InputError, match=r"train-00000.*the label 2 is not"),
        input_errors(records),
    ):
        list(validation_dataset(fewer))


def test_other_errors_are_passed_on(tmp_path):
    """With the cache, whose copies may be what is damaged."""
    records = _records(_write(tmp_path, WHOLE), cache="/a/folder")
    with (
        pytest.raises(InputError, match=r"remove /a/folder .*: another reason"),
        input_errors(records),
    ):
        raise tf.errors.DataLossError(None, None, "another reason")
