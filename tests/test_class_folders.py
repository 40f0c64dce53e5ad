"""Own data in class folders, and where images are looked for."""

import csv
import os

import hostile_images
import numpy as np
import pytest
import tensorflow as tf
from record_files import encoded, photo, read_records, store

from delg_tf.common.errors import InputError
from delg_tf.data import builder, image_files
from delg_tf.data.build_options import BuildOptions

NAME = "f1bbcdcbfa53e05f"


def test_official_directory_pattern_and_jpg_first(tmp_path):
    name = NAME
    for ending in (".png", ".jpg"):
        store(tmp_path, name, b"x" * len(ending), ending=ending)
    store(tmp_path, name, b"flat", nested=False)
    store(tmp_path, "ab", b"short", nested=False)
    table = image_files.find_by_id(
        f"{tmp_path}/*/*/*/", np.array([b"ab", name.encode(), b"../etc"])
    )
    nested = f"{name[0]}/{name[1]}/{name[2]}/{name}.jpg"
    assert table.paths.tolist() == [b"ab.jpg", nested.encode(), b""]
    assert table.sizes.tolist() == [5, 4, 0]


def test_class_folders_with_test_images(tmp_path):
    photos, test = tmp_path / "photos", tmp_path / "test"
    # Sorted by name, not in the order of creation; nested; odd characters.
    for name in ("zoo", "Älter Dom/2019/may", "abbey", ".hidden"):
        (photos / name).mkdir(parents=True)
        for i in range(2):
            path = photos / name / f"{i}.jpeg"
            path.write_bytes(encoded(photo(), "JPEG"))
    (photos / "abbey" / "loop").symlink_to(photos)
    (photos / "empty").mkdir()
    (photos / "loose.jpg").write_bytes(encoded(photo(), "JPEG"))
    (photos / "zoo" / "link.jpg").symlink_to("nowhere")
    os.mkfifo(photos / "zoo" / "pipe.jpg")
    store(test, "0123", encoded(photo(), "JPEG"))
    test_csv = tmp_path / "index.csv"
    test_csv.write_text("id\n0123\n4567\n")
    output = tmp_path / "out"
    info = builder.build(
        BuildOptions(
            output_directory=output,
            class_folders_directory=photos,
            generate_train_validation_splits=True,
            test_directory=test,
            test_csv_path=test_csv,
            num_shards=2,
        )
    ).info
    rows = (output / "relabeling.csv").read_text(encoding="utf-8").split()
    assert rows[1:] == ["0,abbey", "1,zoo", "2,Älter", "Dom"]
    assert info.num_classes == 3
    labels = {
        record[1]: record[2]
        for name in ("train", "validation")
        for record in read_records(output, name)
    }
    assert labels == {
        "abbey/0.jpeg": 0,
        "abbey/1.jpeg": 0,
        "zoo/0.jpeg": 1,
        "zoo/1.jpeg": 1,
        "Älter Dom/2019/may/0.jpeg": 2,
        "Älter Dom/2019/may/1.jpeg": 2,
    }
    assert {k: v.images for k, v in info.splits.items()} == {
        "train": 3,
        "validation": 3,
        "test": 1,
    }
    for name in ("loose.jpg", "zoo/link.jpg", "zoo/pipe.jpg"):
        assert name in (output / "skipped_train.csv").read_text()
    assert "4567" in (output / "skipped_test.csv").read_text()
    (record,) = read_records(output, "test", labelled=False)
    assert record[1] == "0123"
    raw = next(
        iter(tf.data.TFRecordDataset(str(output / "test-00001-of-00002")))
    )
    assert b"class/label" not in raw.numpy()


def test_hostile_files_are_left_out_and_listed(tmp_path):
    hostile = hostile_images.files()
    del hostile["jpeg of fewer rows than it says"]  # Which is shown.
    sound = hostile_images.small_files()
    for name, content in (sound | hostile).items():
        store(tmp_path / "photos" / "a", name, content, nested=False)
    output = tmp_path / "out"
    builder.build(
        BuildOptions(
            output_directory=output,
            class_folders_directory=tmp_path / "photos",
            num_shards=2,
        )
    )
    stored = {record[1] for record in read_records(output)}
    assert stored == {f"a/{name}.jpg" for name in sound}
    with open(output / "skipped_train.csv", newline="") as file:
        skipped = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert set(skipped) == {f"a/{name}.jpg" for name in hostile}
    assert all(skipped.values())


def test_no_validation_split_of_single_images(tmp_path):
    for name in "ab":
        store(tmp_path / "photos" / name, "0", encoded(photo(), "JPEG"), False)
    options = BuildOptions(
        output_directory=tmp_path / "out",
        class_folders_directory=tmp_path / "photos",
        generate_train_validation_splits=True,
    )
    with pytest.raises(InputError, match="every class has one image"):
        builder.build(options)
