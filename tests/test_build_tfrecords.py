"""From image files and CSVs to a data set of records."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.data import (
    builder,
    dataset_info,
    gldv2_csv,
    image_files,
    images,
    records,
)
from delg_tf.data.build_options import BuildOptions

ROOT = pathlib.Path(__file__).parents[1]


def _photo(height=24, width=40):
    """A smooth picture without symmetry, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 / height, x * 255 / width, 0 * x + 90], -1).astype(
        np.uint8
    )


def _bytes(image, file_format, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _rotated(orientation, file_format="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _bytes(_photo(), file_format, exif=exif)


def _assert_shows(converted, expected, tolerance=6.0):
    """Checks with TensorFlow's decoder, which training uses."""
    pixels = tf.io.decode_jpeg(converted.data).numpy()
    assert pixels.shape == expected.shape
    assert pixels.shape == (converted.height, converted.width, 3)
    assert np.abs(pixels.astype(float) - expected).mean() < tolerance


# Images -------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        _bytes(_photo(), "JPEG", quality=40),
        _bytes(_photo(), "JPEG", progressive=True),
        _rotated(1),
        _bytes(_photo(), "JPEG") + b"bytes after the end",
    ],
)
def test_rgb_jpeg_keeps_its_bytes(data):
    image = images.as_jpeg(data)
    assert image == images.JpegImage(data, 24, 40, False)


def _save_with_white(value):
    """An image that is transparent (value) in its left half."""
    rgba = np.dstack([_photo(), np.full((24, 40), 255, np.uint8)])
    rgba[:, :20, 3] = 0
    expected = _photo()
    expected[:, :20] = 255
    return _bytes(rgba, value), expected


def _grey():
    return _photo()[..., 1], np.repeat(_photo()[..., 1:2], 3, -1)


def _transparent_palette():
    pixels = np.zeros((24, 40), np.uint8)
    pixels[:, 20:] = 1
    image = Image.frombytes("P", (40, 24), pixels.tobytes())
    image.putpalette([0, 200, 0, 0, 0, 250])
    expected = np.full((24, 40, 3), 255, np.uint8)
    expected[:, 20:] = (0, 0, 250)
    return _bytes(image, "PNG", transparency=0), expected


def _animation():
    frames = [Image.fromarray(_photo() // k) for k in (1, 4)]
    return _bytes(
        frames[0], "GIF", save_all=True, append_images=frames[1:]
    ), _photo()


def _lab():
    # CIE L*a*b* of a mid grey, a dark and a light one: L* = 53.6, 20, 90;
    # sRGB values of the standard's formulae.
    light = np.repeat([[53.6, 20.0, 90.0]], 24, 0).repeat(13, 1)
    lab = np.zeros((*light.shape, 3), np.uint8)
    lab[..., 0] = np.rint(light * 255 / 100)
    grey = np.repeat([[128, 48, 226]], 24, 0).repeat(13, 1)
    image = Image.frombytes("LAB", lab.shape[1::-1], lab.tobytes())
    return _bytes(image, "TIFF"), np.dstack([grey] * 3)


FORMATS = {
    "png": lambda: (_bytes(_photo(), "PNG"), _photo()),
    "webp": lambda: (_bytes(_photo(), "WEBP", quality=95), _photo()),
    "bmp": lambda: (_bytes(_photo(), "BMP"), _photo()),
    "tiff": lambda: (_bytes(_photo(), "TIFF"), _photo()),
    "gif": _animation,
    "grey jpeg": lambda: (_bytes(_grey()[0], "JPEG"), _grey()[1]),
    "grey 16 bit": lambda: (
        _bytes(_grey()[0].astype(np.uint16) * 257, "PNG"),
        _grey()[1],
    ),
    # Dark, so that stretching the contrast would show.
    "dark 16 bit": lambda: (
        _bytes((_grey()[0] // 4).astype(np.uint16) * 257, "TIFF"),
        _grey()[1] // 4,
    ),
    "grey float": lambda: (
        _bytes(_grey()[0].astype(np.float32) / 255, "TIFF"),
        _grey()[1],
    ),
    "bilevel": lambda: (
        _bytes(Image.fromarray(_grey()[0] > 127), "PNG"),
        np.repeat(255 * (_grey()[0] > 127), 3).reshape(24, 40, 3),
    ),
    "cmyk jpeg": lambda: (
        _bytes(Image.fromarray(_photo()).convert("CMYK"), "JPEG", quality=95),
        _photo(),
    ),
    "lab": _lab,
    "alpha png": lambda: _save_with_white("PNG"),
    "alpha webp": lambda: _save_with_white("WEBP"),
    "transparent palette": _transparent_palette,
    "rotated png": lambda: (_rotated(6, "PNG"), np.rot90(_photo(), -1)),
    "rotated tiff": lambda: (_rotated(8, "TIFF"), np.rot90(_photo(), 1)),
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
    _assert_shows(image, ORIENTATIONS[orientation](_photo()))
    assert Image.open(io.BytesIO(image.data)).getexif().get(0x0112) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>404</html>", "not in a format"),
        (_bytes(_photo(), "JPEG")[:-40], "truncated"),
        (_bytes(_photo(), "PNG")[:-40], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not in a"),
    ],
)
def test_corrupt_images_are_found(data, reason):
    with pytest.raises(images.CorruptImageError, match=reason):
        images.as_jpeg(data)


# CSV files ----------------------------------------------------------------

TRAIN_HEADER = "id,url,landmark_id\n"


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        ("train", "", "is empty"),
        ("train", TRAIN_HEADER, "lists no images"),
        ("train", "id,url\na,u\n", "line 1: no column 'landmark_id'"),
        ("train", TRAIN_HEADER + "a,u,1\nb,u\n", "line 3: 2 fields"),
        ("train", TRAIN_HEADER + "a,u,1\nb,u,x\n", "line 3: landmark_id .*'x'"),
        ("train", TRAIN_HEADER + "a,u,-1\n", "line 2: landmark_id"),
        ("train", TRAIN_HEADER + '"\na",u,1\n,u,2\n', "line 4: the id is"),
        (
            "train",
            TRAIN_HEADER + "a,u,1\n\nb,u,1\na,u,2\n",
            "line 5: image a has landmark_id 2, but 1 in line 2",
        ),
        ("clean", "landmark_id,images\n3,\n", "line 2: landmark 3 has no"),
        ("clean", "landmark_id;images\n3;a b\n", "line 1: no column"),
        (
            "clean",
            "landmark_id,images\n3,a b\n4,c b\n",
            "line 3: image b has landmark_id 4, but 3 in line 2",
        ),
        ("test", "name\nx\n", "line 1: no column 'id'"),
    ],
)
def test_bad_csv_is_refused_with_its_line(tmp_path, read, content, message):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        getattr(gldv2_csv, f"read_{read}_csv")(path)
    assert str(path) in str(error.value)


def test_csv_rows_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(gldv2_csv, "CHUNK_ROWS", 3)
    path = tmp_path / "train.csv"
    rows = [(f"{i * 7919:0{3 + i}x}", i % 4) for i in range(8)]
    lines = [f'{name},"http://x/,y",{label}' for name, label in rows]
    lines.insert(5, lines[1])  # The same row twice does no harm.
    path.write_text("\ufeff" + TRAIN_HEADER + "\n".join(lines) + "\n")
    table = gldv2_csv.read_train_csv(path)
    assert [(i.decode(), int(n)) for i, n in zip(table.ids, table.labels)] == (
        rows
    )


def test_a_landmark_with_very_many_images(tmp_path):
    path = tmp_path / "train_clean.csv"
    names = [f"{i:016x}" for i in range(20000)]  # 340 kB in one field.
    path.write_text("landmark_id,images\n9," + " ".join(names) + "\n")
    assert gldv2_csv.read_clean_csv(path).ids.astype(str).tolist() == names


# Data sets ----------------------------------------------------------------


def _name(number):
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def _store(directory, name, data, nested=True, ending=".jpg"):
    folder = directory.joinpath(*name[:3]) if nested else directory
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (name + ending)).write_bytes(data)


@pytest.fixture
def gldv2(tmp_path):
    """Landmarks 5, 20 and 300 with 6, 5 and 1 images; some files are odd."""
    root = tmp_path / "train"
    names = [_name(i) for i in range(12)]
    landmarks = [20] * 5 + [300] + [5] * 6
    for i, name in enumerate(names):
        photo = np.roll(_photo(), 3 * i, 1)
        if i == 3:
            _store(root, name, _bytes(photo, "PNG"), ending=".PNG")
        elif i == 7:
            _store(root, name, _bytes(photo, "JPEG")[:-50])  # Truncated.
        elif i == 9:
            _store(root, name, _bytes(photo, "JPEG"), nested=False)
        elif i != 11:  # The last one is missing.
            _store(root, name, _bytes(photo, "JPEG"))
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


def _read(directory, split="train", labelled=True):
    """Records of a split: [(file name, id, label, encoded)]."""
    found = []
    pattern = str(pathlib.Path(directory) / f"{split}*")
    for path in records.find_record_files(pattern):
        for record in tf.data.TFRecordDataset(path):
            example = records.parse_example(record, labelled)
            label = example.get("image/class/label", tf.constant(-1))
            found.append(
                (
                    os.path.basename(path),
                    example["image/id"].numpy().decode(),
                    int(label),
                    example["image/encoded"].numpy(),
                )
            )
    return found


def test_clean_data_set(gldv2):
    output = pathlib.Path(gldv2["output_directory"])
    summary = _build(gldv2, generate_train_validation_splits=True)
    training, validation = _read(output), _read(output, "validation")
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
        record[1]: record[3] for record in _read(gldv2["output_directory"])
    }
    names, root = gldv2["names"], pathlib.Path(gldv2["train_directory"])
    name = names[0]
    nested = root / name[0] / name[1] / name[2] / f"{name}.jpg"
    assert stored[name] == nested.read_bytes()
    assert stored[names[9]] == (root / f"{names[9]}.jpg").read_bytes()
    png = tf.io.decode_jpeg(stored[names[3]]).numpy().astype(float)
    assert np.abs(png - np.roll(_photo(), 9, 1)).mean() < 8


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
    for _, name, label, _ in _read(gldv2["output_directory"]):
        assert old[name] == (landmarks[label] if landmarks else label)


def test_a_corrupt_image_moves_no_other_one(gldv2):
    output = gldv2["output_directory"]
    _build(gldv2)
    before = [record[:2] for record in _read(output)]
    # Eleven files exist, one of them corrupt, in shards of 3, 4 and 4.
    root = pathlib.Path(gldv2["train_directory"])
    victim = gldv2["names"][0]
    next(root.rglob(f"{victim}.jpg")).write_bytes(b"damaged")
    _build(gldv2, overwrite=True)
    after = [record[:2] for record in _read(output)]
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
    assert len(_read(output)) == 10
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
    assert len(_read(output)) == 10


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


def test_official_directory_pattern_and_jpg_first(tmp_path):
    name = _name(3)
    for ending in (".png", ".jpg"):
        _store(tmp_path, name, b"x" * len(ending), ending=ending)
    _store(tmp_path, name, b"flat", nested=False)
    _store(tmp_path, "ab", b"short", nested=False)
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
            path.write_bytes(_bytes(_photo(), "JPEG"))
    (photos / "abbey" / "loop").symlink_to(photos)
    (photos / "empty").mkdir()
    (photos / "loose.jpg").write_bytes(_bytes(_photo(), "JPEG"))
    _store(test, "0123", _bytes(_photo(), "JPEG"))
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
        for record in _read(output, name)
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
    assert "loose.jpg" in (output / "skipped_train.csv").read_text()
    assert "4567" in (output / "skipped_test.csv").read_text()
    (record,) = _read(output, "test", labelled=False)
    assert record[1] == "0123"
    raw = next(
        iter(tf.data.TFRecordDataset(str(output / "test-00001-of-00002")))
    )
    assert b"class/label" not in raw.numpy()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_csv_path": None}, "--train_csv_path must be given"),
        ({"test_csv_path": "x.csv"}, "--test_directory and --test_csv_path"),
        ({"class_folders_directory": "x"}, "either --class_folders"),
        ({"num_shards": 0}, "--num_shards"),
        ({"validation_split_size": 1.0}, "--validation_split_size"),
        ({"seed": -1}, "--seed"),
        ({"train_directory": "/nonexistent"}, "/nonexistent does not exist"),
        ({"train_csv_path": "/no.csv"}, "CSV file /no.csv does not exist"),
        ({"output_directory": __file__}, "is a file"),
    ],
)
def test_bad_options(gldv2, changes, message):
    with pytest.raises(InputError, match=message):
        _build(gldv2, **changes)


def test_no_validation_split_of_single_images(tmp_path):
    for name in "ab":
        _store(tmp_path / "photos" / name, "0", _bytes(_photo(), "JPEG"), False)
    options = BuildOptions(
        output_directory=tmp_path / "out",
        class_folders_directory=tmp_path / "photos",
        generate_train_validation_splits=True,
    )
    with pytest.raises(InputError, match="every class has one image"):
        builder.build(options)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"num_classes": "3", "splits": {}}']
)
def test_damaged_dataset_info(tmp_path, content):
    (tmp_path / "dataset_info.json").write_text(content)
    with pytest.raises(InputError, match=r"dataset_info\.json"):
        dataset_info.load_dataset_info(tmp_path)


def _run_tool(*arguments):
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools" / "build_tfrecords.py"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_tool(gldv2):
    flags = [
        f"--{key}={value}"
        for key, value in gldv2.items()
        if key not in ("names", "landmarks")
    ]
    done = _run_tool(*flags)
    assert done.returncode == 0, done.stderr
    assert "train: 10 images in 3 files, 2 skipped" in done.stdout
    assert "classes: 3" in done.stdout
    path = pathlib.Path(gldv2["output_directory"], "dataset_info.json")
    assert json.loads(path.read_text())["num_classes"] == 3
    # Bad input.
    path = pathlib.Path(gldv2["train_csv_path"])
    path.write_text(TRAIN_HEADER + "abc,http://x,tower\n")
    refused = _run_tool(*flags)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {path}, line 2: landmark_id")
    assert "Traceback" not in refused.stderr


def test_tool_without_flags():
    missing = _run_tool()
    assert missing.returncode == 1 and "--output_directory" in missing.stderr
    nothing = _run_tool("--output_directory=somewhere")
    assert nothing.returncode == 1
    assert nothing.stderr.startswith("error: Nothing to build: give --train_")
