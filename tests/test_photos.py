"""Own photographs: indexing, searching, groups; over command lines too."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from extraction_inputs import (
    export_models,
    extraction_config,
    picture,
    save_config,
    save_image,
)
from PIL import ExifTags, Image
from tool_process import last_line, run_tool

from delg_tf.common.errors import InputError
from delg_tf.extraction.extractor import Extractor
from delg_tf.photos.collection import photo_facts, photos_in_folder
from delg_tf.photos.groups import Group, GroupOptions, Link, find_groups
from delg_tf.photos.indexing import IndexingOptions, index_photos
from delg_tf.photos.searching import PhotoSearchOptions, search_photos
from delg_tf.retrieval.index.base import ImageBatch
from delg_tf.retrieval.index.choice import create_index, open_index, open_writer
from delg_tf.retrieval.index.settings import IndexSettings


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    export_models(folder, kinds=("local_and_global",))
    config = extraction_config(folder / "local_and_global")
    return config, save_config(folder, config)


@pytest.fixture(scope="module")
def extractor(model):
    return Extractor(model[0], "tensorflow", "float32")


def write_photos(folder):
    """Three views far from each other, and copies of the first."""
    views = [(40, 170), (300, 20), (200, 330)]
    for number, (top, left) in enumerate(views):
        save_image(folder / f"view {number}.png", picture(top=top, left=left))
    first = Image.fromarray(picture())
    (folder / "copies").mkdir()
    first.save(folder / "copies" / "compressed.jpg", quality=80)
    first.resize((144, 108)).save(folder / "copies" / "smaller.png")
    return folder


def index(folder, place, model, extractor, **options):
    return index_photos(
        folder,
        place,
        IndexingOptions(config=model[0], **options),
        lambda _: extractor,
    )


def test_an_index_follows_its_folder(tmp_path, model, extractor):
    photos = write_photos(tmp_path / "photos")
    place = tmp_path / "my.index"
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    first = index(photos, place, model, extractor)
    assert (first.added, first.total, len(first.skipped)) == (5, 5, 1)
    with open(tmp_path / "my.index.skipped_images.csv") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["broken.jpg"]
    (photos / "broken.jpg").unlink()
    assert set(open_index(place).names) == {
        "copies/compressed.jpg",
        "copies/smaller.png",
        "view 0.png",
        "view 1.png",
        "view 2.png",
    }

    def no_model(_):
        raise AssertionError("there is nothing to extract")

    same = index_photos(photos, place, IndexingOptions(), no_model)
    assert (same.unchanged, same.added, same.updated) == (5, 0, 0)

    # Replaced by another picture, removed, and a new one.
    old = open_index(place).descriptors(["view 1.png"])
    save_image(photos / "view 1.png", picture(top=100, left=100))
    (photos / "view 2.png").unlink()
    save_image(photos / "new.png", picture(top=0, left=0))
    kept = index(photos, place, model, extractor)
    assert (kept.added, kept.updated, kept.removed, kept.total) == (1, 1, 0, 6)
    assert not np.allclose(open_index(place).descriptors(["view 1.png"]), old)
    pruned = index(photos, place, model, extractor, prune=True)
    assert (pruned.removed, pruned.total) == (1, 5)
    assert "view 2.png" not in open_index(place)

    known = open_index(place).metadata("copies/smaller.png")
    assert known["path"] == str(photos / "copies" / "smaller.png")
    assert known["folder"] == "copies"
    with pytest.raises(InputError, match="of the model and configuration"):
        other = extraction_config(model[0].model_path, max_image_size=100)
        index_photos(
            photos, place, IndexingOptions(config=other), lambda _: extractor
        )


def test_a_cut_off_run_goes_on(tmp_path, model, extractor, monkeypatch):
    photos = write_photos(tmp_path / "photos")
    monkeypatch.setattr("delg_tf.photos.index_sink._IMAGES", 1)
    calls = []

    class Failing:
        def __getattr__(self, name):
            return getattr(extractor, name)

        def extract_batch(self, images):
            calls.append(len(images))
            if len(calls) == 4:
                raise KeyboardInterrupt
            return extractor.extract_batch(images)

    with pytest.raises(KeyboardInterrupt):
        index(photos, tmp_path / "x", model, Failing())
    there = len(open_index(tmp_path / "x"))
    assert 1 <= there < 5
    rest = index(photos, tmp_path / "x", model, extractor)
    assert (rest.unchanged, rest.added, rest.total) == (there, 5 - there, 5)


def test_photographs_find_themselves_and_their_copies(
    tmp_path, model, extractor
):
    photos = write_photos(tmp_path / "photos")
    index(photos, tmp_path / "x", model, extractor, local_format="float16")
    opened = open_index(tmp_path / "x")
    query = save_image(tmp_path / "query.jpg", picture(), quality=90)

    def search(**options):
        (found,) = search_photos(
            opened, [query], PhotoSearchOptions(**options), lambda _: extractor
        )
        return found.hits

    hits = search()
    assert {hit.name for hit in hits[:3]} == {
        "view 0.png",
        "copies/compressed.jpg",
        "copies/smaller.png",
    }
    assert [hit.inliers for hit in hits] == sorted(
        (hit.inliers for hit in hits), reverse=True
    )
    # Independent of indexes: the cosine of what the extractor gives.
    (plain,) = search(top=1, reranking=None)
    both = [
        extractor.extract(extraction_image(path)).global_descriptor
        for path in (query, photos / plain.name)
    ]
    assert plain.similarity == pytest.approx(float(both[0] @ both[1]), abs=1e-5)
    assert plain.inliers is None
    names = {hit.name for hit in search(where='folder == "copies"')}
    assert names == {"copies/compressed.jpg", "copies/smaller.png"}


def extraction_image(path):
    from delg_tf.extraction.images import load_image

    return load_image(path)


def test_groups_are_the_connected_parts(tmp_path):
    """Vectors in the plane; a link is an angle below 37 degrees."""
    angles = {"a": 0, "b": 30, "c": 60, "d": 180, "e": 200, "f": 270}
    radians = np.deg2rad(list(angles.values()))
    vectors = np.stack([np.cos(radians), np.sin(radians)], 1)
    create_index(tmp_path / "x", IndexSettings(dimension=2))
    with open_writer(tmp_path / "x") as writer:
        writer.add(ImageBatch(list(angles), vectors.astype(np.float32)))
        writer.add(ImageBatch(["none"], np.zeros((1, 2), np.float32)))
    opened = open_index(tmp_path / "x")
    found = find_groups(opened, GroupOptions(0.8, 0), None)
    cosine = pytest.approx(np.cos(np.deg2rad(30)), abs=1e-6)
    near = pytest.approx(np.cos(np.deg2rad(20)), abs=1e-6)
    assert found == [
        # a and c are linked through b.
        Group(
            ["b", "a", "c"],
            [Link(("a", "b"), cosine, None), Link(("b", "c"), cosine, None)],
        ),
        Group(["d", "e"], [Link(("d", "e"), near, None)]),
    ]
    # Geometry takes the link of b and c away.
    counts = {("a", "b"): 9, ("b", "c"): 2, ("d", "e"): 3}
    verified = find_groups(
        opened,
        GroupOptions(0.8, 3),
        lambda pairs: (np.array([counts[p] for p in pairs]), np.full(3, 10)),
    )
    assert [group.names for group in verified] == [["a", "b"], ["d", "e"]]
    assert [group.links[0].inliers for group in verified] == [9, 3]
    # Nine of ten features are half of them, three are not.
    (most,) = find_groups(
        opened,
        GroupOptions(0.8, 3, 0.5),
        lambda pairs: (np.array([counts[p] for p in pairs]), np.full(3, 10)),
    )
    assert most.names == ["a", "b"]


def test_what_a_camera_writes_is_read(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = (
        "2024:05:06 07:08:09"
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "S",
            ExifTags.GPS.GPSLatitude: (33.0, 51.0, 24.0),
            ExifTags.GPS.GPSLongitudeRef: "E",
            ExifTags.GPS.GPSLongitude: (151.0, 12.0, 54.0),
        }
    )
    save_image(tmp_path / "p" / "a.jpg", picture(), exif=exif)
    save_image(tmp_path / "p" / "in" / "b.png", picture())
    first, second = photos_in_folder(tmp_path / "p", prefix="x/")
    facts = photo_facts(first, tmp_path / "p")
    assert (first.name, facts.folder) == ("x/a.jpg", "")
    assert facts.taken == "2024-05-06T07:08:09"
    # Degrees, minutes and seconds, by hand.
    assert facts.latitude == pytest.approx(-33.856667, abs=1e-6)
    assert facts.longitude == pytest.approx(151.215, abs=1e-6)
    plain = photo_facts(second, tmp_path / "p")
    assert (plain.folder, plain.taken, plain.latitude) == ("in", None, None)


def test_command_lines_from_photographs_to_pages(tmp_path, model):
    photos = write_photos(tmp_path / "photos")
    shutil.copy(photos / "view 0.png", tmp_path / "query.png")
    place = tmp_path / "my.index"
    (tmp_path / "facts.csv").write_text(
        "name,landmark\nview 0.png,Bridge\nview 1.png,Tower\n"
    )
    common = (f"--index={place}", "--runtime=tensorflow", "--precision=float32")
    done = run_tool(
        "tools/index_images.py",
        photos,
        *common,
        f"--delf_config_path={model[1]}",
        f"--metadata_csv={tmp_path / 'facts.csv'}",
    )
    assert done.returncode == 0, done.stderr
    assert "5 photographs; 5 added" in done.stdout
    found = run_tool(
        "tools/search.py",
        tmp_path / "query.png",
        *common,
        "--json",
        "--where=landmark in ('Bridge', 'Tower')",
        f"--report={tmp_path / 'found.html'}",
    )
    assert found.returncode == 0, found.stderr
    (answer,) = json.loads(found.stdout)
    names = [hit["name"] for hit in answer["found"]]
    assert names == ["view 0.png", "view 1.png"]
    assert answer["found"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert answer["found"][0]["landmark"] == "Bridge"
    page = (tmp_path / "found.html").read_text()
    # Query, two attention maps, two thumbnails, two pairs.
    assert len(re.findall(r'<img src="data:image/jpeg', page)) == 7
    groups = run_tool(
        "tools/find_duplicates.py",
        f"--index={place}",
        "--json",
        "--similarity=0.9",
        "--min_inliers=12",
        "--min_share=0.2",
        f"--report={tmp_path / 'groups.html'}",
    )
    assert groups.returncode == 0, groups.stderr
    (group,) = json.loads(groups.stdout)
    assert {photo["name"] for photo in group["photographs"]} == {
        "view 0.png",
        "copies/compressed.jpg",
        "copies/smaller.png",
    }
    assert "3 photographs" in (tmp_path / "groups.html").read_text()
    for arguments, message in (
        ([], "Name the photographs"),
        ([tmp_path / "no.jpg"], "does not exist"),
        ([tmp_path / "query.png", "--where=height > 3"], "height"),
    ):
        refused = run_tool("tools/search.py", *arguments, *common)
        assert refused.returncode == 1
        assert message in last_line(refused.stderr)
