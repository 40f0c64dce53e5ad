import csv
import os
import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import load_ground_truth
from delg_tf.data.synthetic import camera, photographs
from delg_tf.data.synthetic.builder import SyntheticConfig, build_dataset
from delg_tf.data.synthetic.landmarks import cut_regions
from delg_tf.data.synthetic.photographs import GROUPS, load_photographs

ALL_BUILT_IN = photographs._BUILT_IN
ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = SyntheticConfig(
    train_views=2,
    scenes=2,
    test_scenes=2,
    queries=2,
    easy=2,
    hard=1,
    junk=1,
    distractors=3,
    seed=5,
)


@pytest.fixture(scope="module", autouse=True)
def few_photographs():
    """Two photographs for each group, so that building takes a second."""
    few = {
        "train": ("skimage/astronaut.png", "skimage/camera.png"),
        "validation": ("skimage/coins.png", "sklearn/flower.jpg"),
        "held_out": ("skimage/coffee.png", "sklearn/china.jpg"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "_BUILT_IN", few)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("built")
    return root, build_dataset(root, TINY)


def _files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_equal_seeds_make_equal_bytes_and_others_do_not(built, tmp_path):
    root, _ = built
    first = _files(root)
    build_dataset(tmp_path / "again", TINY)
    assert _files(tmp_path / "again") == first
    other = SyntheticConfig(**{**TINY.__dict__, "seed": 6})
    build_dataset(tmp_path / "other", other)
    changed = _files(tmp_path / "other")
    views = [name for name in first if name.startswith("held_out/jpg")]
    assert all(
        changed[name] != first[name] for name in views if name in changed
    )


def test_what_is_lost_is_made_again_and_nothing_else(built, tmp_path):
    root, summary = built
    before = _files(root)
    lost = [
        next(iter(sorted(root.glob("train/*/*/*/*.jpg")))),
        root / "held_out" / "jpg" / "landmark000_query1.jpg",
        root / "held_out" / "jpg" / "landmark001_hard0.jpg",
        root / "held_out" / "gnd.pkl",
        root / "train.csv",
        root / "dataset.json",
    ]
    for path in lost:
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in root.rglob("*.jpg")}
    assert build_dataset(root, TINY) == summary
    assert _files(root) == before
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_another_configuration_is_refused(built):
    root, _ = built
    before = _files(root)
    other = SyntheticConfig(**{**TINY.__dict__, "easy": 3})
    with pytest.raises(InputError, match="another configuration"):
        build_dataset(root, other)
    assert _files(root) == before


def test_csv_files_and_images_agree(built):
    root, summary = built
    with open(root / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    files = {path.stem: path for path in root.glob("train/*/*/*/*.jpg")}
    assert {row["id"] for row in rows} == set(files)
    assert len(rows) == len(files) == summary["train"]["images"]
    for name, path in files.items():
        assert re.fullmatch("[0-9a-f]{16}", name)
        assert path.parts[-4:-1] == tuple(name[:3])
    landmarks = {row["id"]: row["landmark_id"] for row in rows}
    assert len(set(landmarks.values())) == summary["train"]["landmarks"]
    with open(root / "train_clean.csv", newline="") as file:
        clean = {
            row["landmark_id"]: row["images"].split(" ")
            for row in csv.DictReader(file)
        }
    assert set(clean) == set(landmarks.values())
    for landmark, names in clean.items():
        assert names
        assert {landmarks[name] for name in names} == {landmark}
    with open(root / "train_label_to_category.csv", newline="") as file:
        categories = {row["landmark_id"] for row in csv.DictReader(file)}
    assert categories == set(clean)


def test_unclean_views_are_in_the_full_list_only(tmp_path):
    config = SyntheticConfig(**{**TINY.__dict__, "train_views": 20})
    few = SyntheticConfig(**{**config.__dict__, "scenes": 0, "test_scenes": 0})
    build_dataset(tmp_path, few)
    with open(tmp_path / "train.csv", newline="") as file:
        everything = {row["id"] for row in csv.DictReader(file)}
    with open(tmp_path / "train_clean.csv", newline="") as file:
        clean = {
            name
            for row in csv.DictReader(file)
            for name in row["images"].split(" ")
        }
    assert clean < everything
    assert 20 * len(everything - clean) == len(everything)


@pytest.mark.parametrize("group", ["validation", "held_out"])
def test_ground_truth_agrees_with_the_images(built, group):
    root, summary = built
    truth = load_ground_truth(root / group / "gnd.pkl")
    names = set(truth.query_names) | set(truth.index_names)
    assert names == {path.stem for path in (root / group / "jpg").iterdir()}
    assert summary[group]["queries"] == len(truth.query_names)
    assert summary[group]["index"] == len(truth.index_names)
    for name, query in zip(truth.query_names, truth.queries):
        landmark = name.split("_")[0]
        for kind, count in (("easy", TINY.easy), ("hard", TINY.hard)):
            found = [truth.index_names[i] for i in getattr(query, kind)]
            assert found == [f"{landmark}_{kind}{n}" for n in range(count)]
        junk = [truth.index_names[i] for i in query.junk]
        assert f"{landmark}_junk0" in junk
        assert not any(name.startswith("distractor") for name in junk)
        with Image.open(root / group / "jpg" / f"{name}.jpg") as image:
            width, height = image.size
        x1, y1, x2, y2 = query.bbx
        assert 0 <= x1 < x2 <= width - 1
        assert 0 <= y1 < y2 <= height - 1
        # A query shows its landmark large.
        assert (x2 - x1) * (y2 - y1) > 0.3 * min(width, height) ** 2


def test_scenes_and_their_regions_are_junk_to_each_other(built):
    root, _ = built
    groups = load_photographs(seed=TINY.seed)
    regions = cut_regions(groups["held_out"], 0.0, TINY.seed)
    truth = load_ground_truth(root / "held_out" / "gnd.pkl")
    own = TINY.easy + TINY.hard + TINY.junk
    junk = {}
    for name, query in zip(truth.query_names, truth.queries):
        number = int(name[len("landmark") :].split("_")[0])
        junk[number] = {i // own for i in query.junk.tolist()} - {number}
    scenes = range(len(regions), len(regions) + TINY.test_scenes)
    for number, others in junk.items():
        assert all(number in junk[other] for other in others)
        if number in scenes:
            assert len([other for other in others if other not in scenes]) == 4
        else:
            assert all(other in scenes for other in others)


def test_groups_share_no_photograph():
    names = [name for group in GROUPS for name in ALL_BUILT_IN[group]]
    assert len(names) == len(set(names))
    assert all(len(ALL_BUILT_IN[group]) >= 3 for group in GROUPS)


def test_tested_windows_are_disjoint_and_training_windows_nearly():
    photos = load_photographs()
    for group, largest in (("held_out", 0.0), ("train", 0.2)):
        windows = {}
        for region in cut_regions(photos[group], largest, seed=1):
            photo, place = region.name.rsplit(":", 1)
            y, x, side = map(int, place.split(","))
            mask = np.zeros((1024, 1024), bool)
            mask[y : y + side, x : x + side] = True
            windows.setdefault(photo, []).append(mask)
        assert sum(map(len, windows.values())) >= 4
        for masks in windows.values():
            for i, first in enumerate(masks):
                for second in masks[:i]:
                    smaller = min(first.sum(), second.sum())
                    assert (first & second).sum() <= largest * smaller


def test_own_photographs_join_every_group(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(18):
        path = tmp_path / "own" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (20, 25, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((250, 200)).save(path)
    (tmp_path / "own" / "broken.jpg").write_bytes(b"no image")
    Image.new("RGB", (300, 100)).save(tmp_path / "own" / "small.png")
    before = load_photographs()
    groups = load_photographs(tmp_path / "own", seed=2)
    added = {
        group: {photo.name for photo in groups[group]}
        - {photo.name for photo in before[group]}
        for group in GROUPS
    }
    assert [len(added[group]) for group in GROUPS] == [12, 2, 4]
    assert len(set.union(*added.values())) == 18
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no readable photograph"):
        load_photographs(tmp_path / "empty")


def test_own_photographs_are_upright_and_not_larger_than_needed(tmp_path):
    pixels = np.zeros((1500, 1200, 3), np.uint8)
    pixels[:750] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned clockwise by a quarter.
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    (photo,) = load_photographs(tmp_path)["train"][2:]
    assert photo.pixels.shape == (819, 1024, 3)
    assert photo.pixels[400, 100].max() < 10
    assert photo.pixels[400, -100].min() > 245


# The camera.


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["QUERY", "EASY", "HARD", "TRAIN"])
def test_homography_says_where_the_facade_is(name, seed):
    """A marked point of the facade is where the homography takes it."""
    conditions = getattr(camera, name)
    clear = camera.Conditions(
        **{
            **conditions.__dict__,
            "light": 0.0,
            "occlusion": (0.0, 0.0),
            "noise": 0.0,
            "blur": 0.0,
        }
    )
    mark = np.array([90.0, 150.0])
    y, x = np.mgrid[:256, :256]
    squared = (x - mark[0]) ** 2 + (y - mark[1]) ** 2
    spot = np.repeat((255 * np.exp(-squared / 72))[..., None], 3, axis=2)
    black = np.zeros((300, 300, 3), np.uint8)
    view = camera.photograph(
        np.rint(spot).astype(np.uint8),
        black,
        black,
        clear,
        (192, 256),
        np.random.default_rng(seed),
    )
    assert view.pixels.shape == (192, 256, 3)
    grey = view.pixels[..., 0].astype(np.float64)
    y, x = np.mgrid[:192, :256]
    found = np.array([(grey * x).sum(), (grey * y).sum()]) / grey.sum()
    projected = view.homography @ [*mark, 1]
    np.testing.assert_allclose(found, projected[:2] / projected[2], atol=0.3)
    # The box is around the corners, as far as they are in the view.
    corners = cv2.perspectiveTransform(
        np.float64([[[0, 0], [255, 0], [255, 255], [0, 255]]]),
        view.homography,
    )[0]
    inside = np.clip(corners, 0, [255, 191])
    expected = [*inside.min(axis=0), *inside.max(axis=0)]
    np.testing.assert_allclose(view.box, expected, atol=1e-6)
    assert view.box[0] < found[0] < view.box[2]
    assert view.box[1] < found[1] < view.box[3]
    if name == "QUERY":  # Nothing is cut off.
        np.testing.assert_allclose(corners, inside)
    assert clear.quality[0] <= view.quality <= clear.quality[1]


def test_occlusion_hides_as_much_as_asked_for():
    facade = np.full((256, 256, 3), 255, np.uint8)
    black = np.zeros((300, 300, 3), np.uint8)
    conditions = camera.Conditions(
        (0.8, 0.8), 0, 0, 0, 0, (0.5, 0.5), 0, 0, (90, 90)
    )
    view = camera.photograph(
        facade, black, black, conditions, (200, 200), np.random.default_rng(0)
    )
    visible = (view.pixels[..., 0] > 127).sum() / 160**2
    # The last object may hide more than was missing: 0.36 of it at most.
    assert 0.1 < visible <= 0.51


def test_a_view_without_a_landmark_is_background():
    background = skimage.data.astronaut()
    conditions = camera.Conditions(
        (0.5, 0.5), 0, 0, 0, 0, (0, 0), 0, 0, (90, 90)
    )
    view = camera.photograph(
        None, background, background, conditions, (100, 120),
        np.random.default_rng(0),
    )  # fmt: skip
    assert view.box == (0, 0, 120, 100)
    assert view.pixels.std() > 10


# The command line.


def _run_tool(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "tools/make_demo_dataset.py", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_tool_builds_by_its_flags(tmp_path):
    done = _run_tool(
        f"--output_directory={tmp_path}",
        "--train_views=2",
        "--scenes=0",
        "--test_scenes=0",
        "--queries=1",
        "--easy=1",
        "--hard=1",
        "--junk=0",
        "--distractors=1",
        "--seed=3",
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"train: 12 photographs, 1\d\d landmarks", done.stdout)
    assert re.search(r"held_out: 3 photographs, \d+ landmarks", done.stdout)
    # Fewer would teach too little.
    landmarks = re.search(r"(\d+) landmarks", done.stdout)[1]
    assert int(landmarks) >= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train_views=1"], "`train_views`"),
        (["--photos={}/none"], "none"),
        (["--photos={}"], "no readable photograph"),
    ],
)
def test_tool_refuses_bad_input_without_a_traceback(
    tmp_path, arguments, message
):
    done = _run_tool(
        f"--output_directory={tmp_path / 'new'}",
        *(argument.format(tmp_path) for argument in arguments),
    )
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_defaults_of_tool_and_configuration_agree():
    done = _run_tool("--helpfull")
    for name, value in SyntheticConfig().__dict__.items():
        assert re.search(
            rf"--{name}:.*?\(default: '{value}'\)", done.stdout, re.DOTALL
        ), name
