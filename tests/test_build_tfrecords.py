"""From image files and CSVs to a data set of records."""

import csv
import dataclasses
import hashlib
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from record_files import encoded, photo, read_records, store
from tool_process import last_line, run_tool

from delg_tf.common.errors import InputError
from delg_tf.data import (
    builder,
    dataset_info,
    records,
)
from delg_tf.data.build_options import BuildOptions
from delg_tf.data.class_list import ClassList

ROOT = pathlib.Path(__file__).parents[1]
TRAIN_HEADER = "id,url,landmark_id\n"


def _name(number):
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


@pytest.fixture
def gldv2(tmp_path):
    """Landmarks 5, 20 and 300 with 6, 5 and 1 images; some files are odd."""
    root = tmp_path / "train"
    names = [_name(i) for i in range(12)]
    landmarks = [20] * 5 + [300] + [5] * 6
    for i, name in enumerate(names):
        view = np.roll(photo(), 3 * i, 1)
        if i == 3:
            store(root, name, encoded(view, "PNG"), ending=".PNG")
        elif i == 7:
            store(root, name, encoded(view, "JPEG")[:-50])  # Truncated.
        elif i == 9:
            store(root, name, encoded(view, "JPEG"), nested=False)
        elif i != 11:  # The last one is missing.
            store(root, name, encoded(view, "JPEG"))
    rows = [f"{n},http://x,{k}\n" for n, k in zip(names, landmarks)]
    # Not in the clean list, not on disk.
    rows.append("ffff000000000000,http://x,7000\n")
    train = tmp_path / "train.csv"
    train.write_text(TRAIN_HEADER + "".join(rows))
    clean = tmp_path / "train_clean.csv"
    clean.write_text(
        "landmark_id,images\n"
        + f"300,{names[5]}\n"
        + f"20,{' '.join(names[:5])}\n"
        + f"5,{' '.join(names[6:])}\n"
    )
    return {
        "train_directory": str(root),
        "train_csv_path": str(train),
        "train_clean_csv_path": str(clean),
        "output_directory": str(tmp_path / "records"),
        "num_shards": 3,
        "names": names,
        "landmarks": landmarks,
    }


def _build(gldv2, **changes):
    options = {**gldv2, **changes}
    del options["names"], options["landmarks"]
    return builder.build(BuildOptions(**options))


def test_clean_data_set(gldv2):
    output = pathlib.Path(gldv2["output_directory"])
    summary = _build(gldv2, generate_train_validation_splits=True)
    training, validation = (
        read_records(output),
        read_records(output, "validation"),
    )
    names = gldv2["names"]
    # Labels follow landmark ids in ascending order: 5, 20, 300.
    expected = {
        n: [5, 20, 300].index(k) for n, k in zip(names, gldv2["landmarks"])
    }
    del expected[names[7]], expected[names[11]]
    assert {r[1]: r[2] for r in training + validation} == expected
    assert len(training) + len(validation) == 10
    # One of five and one of five (the missing one left aside) are held out;
    # the landmark with one image stays.
    assert names[5] in [record[1] for record in training]
    assert summary.info.splits["train"].images == len(training)
    assert summary.info.splits["validation"].shards == 3
    assert summary.info == dataset_info.load_dataset_info(output)
    assert summary.info.num_classes == 3 and summary.converted == 1
    assert (output / "relabeling.csv").read_text() == (
        "new_label,old_label\n0,5\n1,20\n2,300\n"
    )
    skipped = [
        row
        for name in ("train", "validation")
        for row in csv.DictReader((output / f"skipped_{name}.csv").open())
    ]
    reasons = {row["id"]: row["reason"] for row in skipped}
    assert set(reasons) == {names[7], names[11]}
    assert "truncated" in reasons[names[7]]
    assert "no file" in reasons[names[11]]


def test_records_hold_the_files(gldv2):
    _build(gldv2)
    stored = {
        record[1]: record[3]
        for record in read_records(gldv2["output_directory"])
    }
    names, root = gldv2["names"], pathlib.Path(gldv2["train_directory"])
    name = names[0]
    nested = root / name[0] / name[1] / name[2] / f"{name}.jpg"
    assert stored[name] == nested.read_bytes()
    assert stored[names[9]] == (root / f"{names[9]}.jpg").read_bytes()
    png = tf.io.decode_jpeg(stored[names[3]]).numpy().astype(float)
    assert np.abs(png - np.roll(photo(), 9, 1)).mean() < 8


@pytest.mark.parametrize(
    ("changes", "landmarks", "num_classes"),
    [
        ({"train_clean_csv_path": None}, None, 7001),
        ({"relabel": "raw"}, None, 301),
        (
            {"train_clean_csv_path": None, "relabel": "listed"},
            [5, 20, 300, 7000],
            4,
        ),
        (
            {"train_clean_csv_path": None, "relabel": "present"},
            [5, 20, 300],
            3,
        ),
    ],
)
def test_labels(gldv2, changes, landmarks, num_classes):
    info = _build(gldv2, **changes).info
    assert info.num_classes == num_classes
    assert info.relabeled == (landmarks is not None)
    old = dict(zip(gldv2["names"], gldv2["landmarks"]))
    for _, name, label, _ in read_records(gldv2["output_directory"]):
        assert old[name] == (landmarks[label] if landmarks else label)


def test_a_corrupt_image_moves_no_other_one(gldv2):
    output = gldv2["output_directory"]
    _build(gldv2)
    before = [record[:2] for record in read_records(output)]
    # Eleven files exist, one of them corrupt, in shards of 3, 4 and 4.
    root = pathlib.Path(gldv2["train_directory"])
    victim = gldv2["names"][0]
    next(root.rglob(f"{victim}.jpg")).write_bytes(b"damaged")
    _build(gldv2, overwrite=True)
    after = [record[:2] for record in read_records(output)]
    assert after == [record for record in before if record[1] != victim]


def _snapshot(directory):
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in pathlib.Path(directory).glob("*-of-*")
    }


def test_second_run_builds_only_what_is_missing(gldv2):
    output = pathlib.Path(gldv2["output_directory"])
    first = _build(gldv2)
    before = _snapshot(output)
    info = (output / "dataset_info.json").read_bytes()
    skipped = (output / "skipped_train.csv").read_bytes()
    (output / "train-00001-of-00003").unlink()
    (output / "dataset_info.json").unlink()
    # What a killed run leaves behind.
    (output / ".train-00001-of-00003.partial").write_bytes(b"half")
    second = _build(gldv2, num_workers=1)
    after = _snapshot(output)
    assert (first.built, first.reused) == (3, 0)
    assert (second.built, second.reused) == (1, 2)
    for name in before:
        assert after[name][0] == before[name][0]
        rebuilt = after[name][1] != before[name][1]
        assert rebuilt == (name == "train-00001-of-00003")
    assert (output / "dataset_info.json").read_bytes() == info
    assert (output / "skipped_train.csv").read_bytes() == skipped
    assert not list(output.glob(".*.partial"))
    # A damaged file is not taken for a finished one.
    (output / "train-00002-of-00003").write_bytes(b"short")
    assert _build(gldv2).built == 1
    assert _build(gldv2).built == 0


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_larger_images_than_the_limit_are_left_out(gldv2):
    output = pathlib.Path(gldv2["output_directory"])
    store(
        pathlib.Path(gldv2["train_directory"]),
        gldv2["names"][0],
        encoded(photo(100, 100), "JPEG"),
    )
    assert _build(gldv2).info.splits["train"].images == 10
    with pytest.raises(InputError, match="max_image_pixels: "):
        _build(gldv2, max_image_pixels=9999)
    summary = _build(gldv2, max_image_pixels=9999, overwrite=True)
    assert summary.info.splits["train"].images == 9
    skipped = (output / "skipped_train.csv").read_text()
    assert f'{gldv2["names"][0]}.jpg,"100 x 100 pixels' in skipped


def test_other_inputs_need_overwrite(gldv2):
    output = pathlib.Path(gldv2["output_directory"])
    _build(gldv2)
    before = _snapshot(output)
    with pytest.raises(InputError, match=r"seed: 0 there, 1 asked.*overwrite"):
        _build(gldv2, seed=1)
    with pytest.raises(InputError, match="num_shards: 3 there, 2 asked"):
        _build(gldv2, num_shards=2)
    assert _snapshot(output) == before
    _build(gldv2, num_shards=2, overwrite=True)
    assert sorted(_snapshot(output)) == [
        "train-00000-of-00002",
        "train-00001-of-00002",
    ]
    assert len(read_records(output)) == 10
    assert dataset_info.load_dataset_info(output).splits["train"].shards == 2


def test_records_of_others_are_not_overwritten(gldv2):
    output = pathlib.Path(gldv2["output_directory"])
    output.mkdir()
    (output / "train-00000-of-00003").write_bytes(b"precious")
    with pytest.raises(InputError, match="--overwrite"):
        _build(gldv2)
    assert (output / "train-00000-of-00003").read_bytes() == b"precious"


def test_a_failure_stops_the_build_and_can_be_resumed(gldv2, monkeypatch):
    encode = records.encode_example

    def full_disk(jpeg, name, *rest):
        if name.decode() == gldv2["names"][0]:
            raise OSError("disk full")
        return encode(jpeg, name, *rest)

    monkeypatch.setattr(records, "encode_example", full_disk)
    output = pathlib.Path(gldv2["output_directory"])
    with pytest.raises(OSError, match="disk full"):
        _build(gldv2)
    assert not (output / "dataset_info.json").exists()
    assert not list(output.glob(".*.partial"))
    with pytest.raises(InputError, match="not finished"):
        dataset_info.load_dataset_info(output)
    monkeypatch.undo()
    _build(gldv2)
    assert len(read_records(output)) == 10


def test_nothing_left_is_an_error(gldv2, tmp_path):
    root = pathlib.Path(gldv2["train_directory"])
    for path in root.rglob("*.*"):
        path.write_bytes(b"x")
    with pytest.raises(InputError, match="None of the 11 images for train"):
        _build(gldv2)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"None of the 12 images of .*clean"):
        _build(gldv2, train_directory=str(empty))


def test_csv_files_that_do_not_belong_together(gldv2, tmp_path):
    clean = tmp_path / "other.csv"
    clean.write_text(f"landmark_id,images\n4,{gldv2['names'][0]}\n")
    with pytest.raises(InputError, match=r"line 2: .* 4, but 20 in .*line 2"):
        _build(gldv2, train_clean_csv_path=str(clean))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_csv_path": None}, "--train_csv_path must be given"),
        ({"test_csv_path": "x.csv"}, "--test_directory and --test_csv_path"),
        ({"class_folders_directory": "x"}, "Give one of --train_directory"),
        ({"num_shards": 0}, "--num_shards"),
        ({"validation_split_size": 1.0}, "--validation_split_size"),
        ({"seed": -1}, "--seed"),
        ({"max_image_pixels": 0}, "--max_image_pixels"),
        ({"max_image_pixels": 2**28}, "--max_image_pixels"),
        ({"train_directory": "/nonexistent"}, "/nonexistent does not exist"),
        ({"train_csv_path": "/no.csv"}, "CSV file /no.csv does not exist"),
        ({"output_directory": __file__}, "is a file"),
    ],
)
def test_bad_options(gldv2, changes, message):
    with pytest.raises(InputError, match=message):
        _build(gldv2, **changes)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"num_classes": "3", "splits": {}}']
)
def test_damaged_dataset_info(tmp_path, content):
    (tmp_path / "dataset_info.json").write_text(content)
    with pytest.raises(InputError, match=r"dataset_info\.json"):
        dataset_info.load_dataset_info(tmp_path)


def test_tool(gldv2):
    flags = [
        f"--{key}={value}"
        for key, value in gldv2.items()
        if key not in ("names", "landmarks")
    ]
    done = run_tool("tools/build_tfrecords.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "train: 10 images in 3 files, 2 skipped" in done.stdout
    assert "classes: 3" in done.stdout
    path = pathlib.Path(gldv2["output_directory"], "dataset_info.json")
    assert json.loads(path.read_text())["num_classes"] == 3
    # Bad input.
    path = pathlib.Path(gldv2["train_csv_path"])
    path.write_text(TRAIN_HEADER + "abc,http://x,tower\n")
    refused = run_tool("tools/build_tfrecords.py", *flags)
    assert refused.returncode == 1
    assert last_line(refused.stderr).startswith(
        f"error: {path}, line 2: landmark_id"
    )
    assert "Traceback" not in refused.stderr


def test_tool_without_flags():
    missing = run_tool(
        "tools/build_tfrecords.py",
    )
    assert missing.returncode == 1 and "--output_directory" in missing.stderr
    nothing = run_tool(
        "tools/build_tfrecords.py", "--output_directory=somewhere"
    )
    assert nothing.returncode == 1
    assert last_line(nothing.stderr).startswith(
        "error: Nothing to build: give --train_"
    )


@pytest.mark.parametrize(
    "options",
    [
        "",
        pytest.param(
            "--direct_running_mode=multi_processing --direct_num_workers=2",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_beam_builds_the_same_files(gldv2, tmp_path, monkeypatch, options):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Workers may have another working directory.
    monkeypatch.chdir(tmp_path)
    here = _build(gldv2)
    other = _build(
        gldv2,
        output_directory="by_beam",
        runner="DirectRunner",
        runner_options=options,
    )
    assert other.built == 3 and other.info == here.info
    folders = pathlib.Path(gldv2["output_directory"]), tmp_path / "by_beam"
    by_folder = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in folders
    ]
    assert by_folder[0] == by_folder[1]
    (folders[1] / "train-00001-of-00003").unlink()
    again = _build(gldv2, output_directory="by_beam", runner="DirectRunner")
    assert (again.built, again.reused) == (1, 2)


def test_landmarks_that_overlap_are_dropped(gldv2, tmp_path):
    listed = tmp_path / "overlap.txt"
    listed.write_text("# of Paris\n20\n\n20 # again\n999\n")
    output = pathlib.Path(gldv2["output_directory"])
    summary = _build(gldv2, drop_landmarks=str(listed))
    # Landmark 5 has 6 images, of which 7 and 11 cannot be read; 300 has one.
    labels = sorted(record[2] for record in read_records(output))
    assert labels == [0] * 4 + [1] and summary.info.num_classes == 2
    relabeling = (output / "relabeling.csv").read_text()
    assert relabeling == "new_label,old_label\n0,5\n1,300\n"
    dropped = (output / "dropped_landmarks.csv").read_text()
    assert dropped == "landmark_id,images\n20,5\n999,0\n"
    classes = dataset_info.load_dataset_info(output).class_list
    assert dataclasses.astuple(classes) == (
        "other", 2, 7, 1, 5, 1, hashlib.sha256(b"300\n5\n").hexdigest(),
    )  # fmt: skip
    assert "dropped: 1 landmarks with 5 images, 1 of the list" in str(summary)
    # A CSV that lists the same gives the same data set.
    listed.write_text("name,landmark_id\nx,20\ny,999\n")
    assert _build(gldv2, drop_landmarks=str(listed)).built == 0
    with pytest.raises(InputError, match="holds record files of other inputs"):
        _build(gldv2)
    _build(gldv2, overwrite=True)
    assert not (output / "dropped_landmarks.csv").exists()
    assert dataset_info.load_dataset_info(output).class_list.num_images == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("20\n2O\n", r"overlap.txt, line 2: landmark_id .* not '2O'"),
        ("id,landmark_id\na\n", "line 2: 1 fields, but the header has 2"),
        ("# none\n", "lists no landmark"),
        ("7\n8\n", r"none of its 2 landmarks \(7, 8, ...\) is in .*clean.csv"),
        (
            "5\n20\n300\n",
            "names all landmarks of .*clean.csv: no image is left",
        ),
    ],
)
def test_bad_lists_of_landmarks(gldv2, tmp_path, content, message):
    listed = tmp_path / "overlap.txt"
    listed.write_text(content)
    with pytest.raises(InputError, match=message):
        _build(gldv2, drop_landmarks=str(listed))
    assert not pathlib.Path(gldv2["output_directory"]).exists()


def test_published_class_lists_are_known_by_their_size():
    for count, images, name in (
        (203_094, 4_132_914, "GLDv2"),
        (81_313, 1_580_470, "GLDv2-clean"),
        # By their authors, 17 landmarks and 1,565 images less.
        (81_313 - 17, 1_580_470 - 1_565, "RGLDv2-clean"),
        (81_313, 1_580_469, "other"),
    ):
        names = [str(number) for number in range(count)]
        assert ClassList.of(names, images).name == name
    assert ClassList.of(names, 1_580_470, landmarks=False).name == "other"
