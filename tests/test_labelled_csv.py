"""Own data listed in a CSV file."""

import csv
import pathlib

import pytest
from record_files import encoded, photo, read_records, store
from tool_process import last_line, run_tool

from delg_tf.common.errors import InputError
from delg_tf.data import builder, sources
from delg_tf.data.build_options import BuildOptions

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def photos(tmp_path):
    """Six images: one broken, one not a JPEG, odd names."""
    folder = tmp_path / "photos"
    for name in ("a", "b b", "c,d", "é"):
        store(folder, name, encoded(photo(), "JPEG"), nested=False)
    store(folder / "deep", "e", encoded(photo(), "PNG"), False, ".png")
    store(folder, "broken", b"\xff\xd8 no image", nested=False)
    return folder


ROWS = [
    "path,year,label",
    "a.jpg,2019,Zürich",
    "b b.jpg,2020, abbey ",
    "",
    '"c,d.jpg",2020,"Tower, old"',
    "./deep/../é.jpg,,abbey",
    "deep/e.png,,Zürich",
    "broken.jpg,,abbey",
    "gone.jpg,,never seen",
    "a.jpg,2019,Zürich",  # The same row again does no harm.
]


def _options(tmp_path, csv_path, **changes):
    values = {
        "output_directory": tmp_path / "out",
        "labelled_csv_path": csv_path,
        "num_shards": 2,
    }
    return BuildOptions(**values | changes)


def _write(path, rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_records_of_a_list(tmp_path, photos):
    listed = _write(photos / "list.csv", ROWS)
    info = builder.build(_options(tmp_path, listed)).info
    labels = {
        name: label for _, name, label, _ in read_records(tmp_path / "out")
    }
    assert labels == {
        "a.jpg": 1,
        "b b.jpg": 2,
        "c,d.jpg": 0,
        "é.jpg": 2,
        "deep/e.png": 1,
    }
    with open(tmp_path / "out" / "relabeling.csv", encoding="utf-8") as file:
        names = {row["new_label"]: row["old_label"] for row in _rows(file)}
    assert names == {
        "0": "Tower, old",
        "1": "Zürich",
        "2": "abbey",
        "3": "never seen",
    }
    with open(tmp_path / "out" / "skipped_train.csv", encoding="utf-8") as file:
        skipped = {row["id"]: row["reason"] for row in _rows(file)}
    assert list(skipped) == ["gone.jpg", "broken.jpg"]
    assert skipped["gone.jpg"] == "no file at this path"
    assert info.num_classes == 4 and info.splits["train"].skipped == 2


def _rows(file):
    return list(csv.DictReader(file))


def test_labels_keep_whole_numbers_and_present_drops_the_missing(photos):
    rows = ["label,path", "10,a.jpg", "2,é.jpg", "7,gone.jpg"]
    listed = _write(photos / "list.csv", rows)
    source = sources.labelled_list(listed)
    assert source.class_names == ["2", "7", "10"]
    assert source.labels.tolist() == [2, 0]
    present = sources.labelled_list(listed, relabel="present")
    assert present.class_names == ["2", "10"] and present.num_classes == 2
    assert present.labels.tolist() == [1, 0]


def test_images_directory_and_absolute_paths(tmp_path, photos):
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    rows = ["path,label", "deep/e.png,x", f"{photos}/a.jpg,y"]
    listed = _write(elsewhere / "list.csv", rows)
    with pytest.raises(InputError, match="line 2: the label is empty"):
        sources.labelled_list(_write(listed, ["path,label", "a.jpg, "]))
    _write(listed, rows)
    relative_only = sources.labelled_list(listed)
    assert relative_only.images.ids.tolist() == [f"{photos}/a.jpg".encode()]
    both = sources.labelled_list(listed, photos)
    assert both.labels.tolist() == [0, 1]
    assert both.images.sizes.tolist() == [
        (photos / "deep" / "e.png").stat().st_size,
        (photos / "a.jpg").stat().st_size,
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["image,label", "a.jpg,1"], "line 1: no column 'path'"),
        (["path;label", "a.jpg;1"], "line 1: no column 'path'"),
        (["path,label", "a.jpg,1", "é.jpg"], "line 3: 1 fields"),
        (["path,label", " ,1"], "line 2: the path is empty"),
        (
            ["path,label", "a.jpg,1", "é.jpg,1", "./a.jpg,2"],
            "line 4: image a.jpg has label '2', but '1' in line 2",
        ),
        (["path,label"], "lists no images"),
        (["path,label", "x/y.jpg,1"], "--images_directory says"),
    ],
)
def test_bad_lists_end_the_tool(tmp_path, photos, rows, message):
    listed = _write(photos / "list.csv", rows)
    with pytest.raises(InputError) as raised:
        builder.build(_options(tmp_path, listed))
    assert message in str(raised.value) and str(listed) in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_folders_directory": "x"}, "Give one of"),
        ({"relabel": "raw"}, "--relabel=raw is for landmark ids"),
        (
            {"labelled_csv_path": None, "images_directory": "x"},
            "--images_directory needs --labelled_csv_path",
        ),
        ({"images_directory": "nowhere"}, "image directory nowhere"),
    ],
)
def test_options_that_do_not_fit(tmp_path, photos, changes, message):
    listed = _write(photos / "list.csv", ROWS)
    with pytest.raises(InputError, match=message):
        builder.build(_options(tmp_path, listed, **changes))


def test_tool(tmp_path, photos):
    listed = _write(photos / "list.csv", [*ROWS, "é.jpg,,other"])
    command = [
        "tools/build_tfrecords.py",
        f"--labelled_csv_path={listed}",
        f"--output_directory={tmp_path / 'out'}",
        "--num_shards=1",
    ]
    refused = run_tool(*command)
    assert refused.returncode == 1
    assert last_line(refused.stderr).startswith(
        f"error: {listed}, line 11: image é.jpg"
    )
    assert "Traceback" not in refused.stderr
    _write(listed, ROWS)
    done = run_tool(*command)
    assert done.returncode == 0, done.stderr
    assert "train: 5 images in 1 files, 2 skipped" in done.stdout
