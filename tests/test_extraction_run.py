import csv
import os
import pathlib

import hostile_images
import numpy as np
import pytest
from extraction_inputs import (
    export_models,
    extraction_config,
    picture,
    save_config,
    save_image,
    write_data_set,
    write_list,
)
from PIL import Image
from record_files import encoded, photo
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.image_list import (
    images_in_folder,
    images_in_list,
)
from delg_tf.extraction.images import (
    load_image,
)
from delg_tf.extraction.outputs import extraction_sink
from delg_tf.extraction.run import extract_images
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.feature_io import (
    read_global_descriptor,
    read_local_features,
)
from delg_tf.features.storage.skipped import SKIPPED_FILE
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.choice import open_index
from delg_tf.retrieval.index.importing import import_features
from delg_tf.retrieval.search import index_features, search_features

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return export_models(tmp_path_factory.mktemp("models"))


def _bytes_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    save_image(images / "b.png", picture())
    save_image(images / "sub" / "a.jpg", picture(99, 77), quality=90)
    save_image(images / "sub" / "deep" / "c.one.png", picture(60, 80)[..., 0])
    (images / "sub" / "notes.txt").write_text("no image")
    return images


def test_a_folder_is_extracted_resumed_and_bytes_stay(models, folder, tmp_path):
    config = extraction_config(models / "local_and_global")
    items = images_in_folder(folder)
    assert [item.name for item in items] == ["b", "sub/a", "sub/deep/c.one"]
    output = tmp_path / "features"
    summary = extract_images(config, items, output)
    assert (summary.extracted, summary.reused) == (3, 0)
    assert summary.images_per_second > 0
    first = _bytes_below(output)
    assert sorted(first) == sorted(
        f"{item.name}{suffix}"
        for item in items
        for suffix in (".delg_global", ".delg_local")
    )
    expected = Extractor(config).extract(load_image(folder / "sub" / "a.jpg"))
    np.testing.assert_array_equal(
        read_global_descriptor(output / "sub" / "a.delg_global"),
        expected.global_descriptor,
    )
    np.testing.assert_array_equal(
        read_local_features(output / "sub" / "a.delg_local").locations,
        expected.local.locations,
    )

    # Nothing to do: the model is not even loaded.
    def refuse(_):
        raise AssertionError

    summary = extract_images(config, items, output, refuse)
    assert (summary.extracted, summary.reused) == (0, 3)

    # One file of an image is lost: that image only is done again.
    (output / "sub" / "a.delg_local").unlink()
    old = {path: path.stat().st_mtime_ns for path in output.rglob("*.delg_*")}
    summary = extract_images(config, items, output)
    assert (summary.extracted, summary.reused) == (1, 2)
    assert _bytes_below(output) == first
    touched = {
        path.name
        for path, time in old.items()
        if path.stat().st_mtime_ns > time
    }
    assert touched == {"a.delg_global"}

    # Another order, elsewhere: the same files.
    extract_images(config, items[::-1], tmp_path / "other")
    assert _bytes_below(tmp_path / "other") == first


def test_extraction_into_packed_files_and_a_store(models, tmp_path):
    config = extraction_config(models / "local_and_global")
    images = tmp_path / "images"
    save_image(images / "b.png", picture())
    save_image(images / "sub" / "a.png", picture(99, 77))
    items = images_in_folder(images)
    # Loaded once for all.
    extractor = Extractor(config)
    extract_images(config, items, tmp_path / "official", lambda _: extractor)
    expected = FeatureStore(tmp_path / "official")
    (images / "cut.png").write_bytes(b"no image")
    items = images_in_folder(images)
    for folder, store in ((tmp_path / "packed", None), (None, tmp_path / "s")):
        for _ in range(2):
            with extraction_sink(config, folder, store, "float16") as sink:
                summary = extract_images(
                    config, items, sink, lambda _: extractor
                )
            assert [name for name, _ in summary.skipped] == ["cut"]
        assert (summary.extracted, summary.reused) == (0, 2)
        found = FeatureStore(folder or store)
        assert found.list_names() == ["b", "sub/a"]
        for name in ("b", "sub/a"):
            codes = EncodedFeatures.encode(
                expected.local_features(name), "float16"
            )
            np.testing.assert_array_equal(
                found.local_features(name).descriptors, codes.descriptors()
            )
        with (
            pytest.raises(InputError, match="Choose another"),
            extraction_sink(config, folder, store, "binary") as sink,
        ):
            extract_images(config, items, sink, lambda _: extractor)
    # Another setting of extraction gives other features.
    config.delf_local_config.max_feature_num = 7
    with pytest.raises(InputError, match="model and configuration"):
        extraction_sink(config, None, tmp_path / "s", "float16")


def test_unreadable_images_are_skipped_and_listed(models, folder, tmp_path):
    data = (folder / "b.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "empty.jpg").touch()
    items = [
        *images_in_folder(folder),
        *images_in_list(write_list(tmp_path, str(tmp_path / "missing.jpg"))),
    ]
    output = tmp_path / "features"
    config = extraction_config(models / "local_and_global")
    summary = extract_images(config, items, output)
    assert summary.extracted == 3
    skipped = [name for name, _ in summary.skipped]
    assert skipped == ["cut", "empty", "missing"]
    report = (output / SKIPPED_FILE).read_text().splitlines()
    assert report[0] == "name,reason"
    assert [line.split(",")[0] for line in report[1:]] == skipped
    assert not list(output.glob("cut.*"))
    # Repaired: it is done, and no longer listed.
    (folder / "cut.png").write_bytes(data)
    summary = extract_images(config, items[:-1], output)
    assert (summary.extracted, summary.reused) == (1, 3)
    assert "cut" not in (output / SKIPPED_FILE).read_text()
    (folder / "empty.jpg").unlink()
    extract_images(config, images_in_folder(folder), output)
    assert not (output / SKIPPED_FILE).exists()


def test_no_readable_image_at_all_is_an_error(models, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"a\.jpg"):
        extract_images(
            extraction_config(models / "local_and_global"),
            images_in_folder(tmp_path),
            tmp_path / "features",
        )


@pytest.fixture
def data_set(tmp_path):
    return write_data_set(tmp_path)


def test_tool_extracts_the_queries_of_a_data_set(models, data_set):
    config = extraction_config(models / "local_and_global")
    done = run_tool(
        "tools/extract_features.py",
        f"--delf_config_path={save_config(data_set, config)}",
        f"--dataset_file_path={data_set / 'gnd.pkl'}",
        f"--images_dir={data_set / 'jpg'}",
        f"--output_features_dir={data_set / 'query'}",
    )
    assert done.returncode == 0, done.stderr
    assert "1 images extracted" in done.stdout
    features = read_local_features(data_set / "query" / "q0.delg_local")
    box = (40, 10, 140, 90)
    expected = Extractor(config).extract(
        load_image(data_set / "jpg" / "q0.jpg", box)
    )
    np.testing.assert_allclose(
        features.locations, expected.local.locations, atol=1e-4
    )
    assert sorted(path.name for path in (data_set / "query").iterdir()) == [
        "q0.delg_global",
        "q0.delg_local",
    ]


def _sound_files():
    """Names of files (bytes, without ending) and their contents."""
    grey = photo()[..., 0]
    rgba = np.dstack([photo(), grey])
    return {
        b"grey": encoded(grey, "JPEG"),
        b"cmyk": encoded(Image.fromarray(photo()).convert("CMYK"), "JPEG"),
        b"palette": encoded(Image.fromarray(photo()).quantize(8), "GIF"),
        b"16 bits": encoded(grey * np.uint16(257), "PNG"),
        b"alpha": encoded(rgba, "WEBP"),
        b"line": encoded(np.zeros((20, 20000), np.uint8), "PNG"),
        b"column": encoded(np.zeros((20000, 20), np.uint8), "PNG"),
        b'odd, "name" caf\xe9': encoded(photo(), "JPEG"),
        "名前".encode(): encoded(photo(), "TIFF"),
        b"two\nlines": encoded(photo(), "BMP"),
        b".hidden": encoded(photo(), "PNG"),
        # Too small to have features.
        b"dot": encoded(photo(1, 1), "PNG"),
        b"thin": encoded(photo(9, 300), "JPEG"),
    }


@pytest.fixture
def all_kinds(tmp_path):
    """A folder of sound and hostile files, all called *.jpg."""
    folder = tmp_path / "all"
    (folder / "folder.jpg").mkdir(parents=True)
    for name, content in _sound_files().items():
        (folder / os.fsdecode(name + b".jpg")).write_bytes(content)
    hostile = hostile_images.files() | {"x" * 251: encoded(photo(), "JPEG")}
    del hostile["jpeg of fewer rows than it says"]  # Which is shown.
    for name, content in hostile.items():
        (folder / f"{name}.jpg").write_bytes(content)
    (folder / "link.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "vector.svg").write_text("<svg/>")
    return folder, {*hostile, "link", "pipe"}


def test_every_file_has_features_or_is_reported(models, all_kinds, tmp_path):
    folder, hostile = all_kinds
    config = extraction_config(models / "local_and_global")
    output = tmp_path / "features"
    done = run_tool(
        "tools/extract_features.py",
        f"--delf_config_path={save_config(tmp_path, config)}",
        f"--images_dir={folder}",
        f"--output_features_dir={output}",
    )
    assert done.returncode == 0, done.stderr
    sound = set(map(os.fsdecode, _sound_files()))
    assert f"{len(sound)} images extracted" in done.stdout
    assert "2 of them too small" in done.stdout
    with open(output / SKIPPED_FILE, newline="", encoding="utf-8") as file:
        skipped = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert set(skipped) == hostile
    assert all(skipped.values())
    assert "rename" in skipped["x" * 251]
    files = {path.name for path in output.iterdir()} - {SKIPPED_FILE}
    assert files == {
        f"{name}{suffix}"
        for name in sound
        for suffix in (".delg_global", ".delg_local")
    }
    for name in sound:
        vector = read_global_descriptor(output / f"{name}.delg_global")
        assert vector.size == (0 if name in ("dot", "thin") else 32)
        local = read_local_features(output / f"{name}.delg_local")
        assert (len(local) == 0) == (vector.size == 0)
    _search_all_kinds(FeatureStore(output), sound)


def _search_all_kinds(store, names):
    with pytest.raises(InputError, match=r"two.*Rename"):
        index_features(store)
    names = sorted(names - {"two\nlines"})
    place = store.directory / "index"
    import_features(place, store, names)
    index = open_index(place)
    results = search_features(index, store)
    places = [names.index("dot"), names.index("thin")]
    assert index.describe().without_descriptor == 2
    for name, ids, similarities in zip(
        results.query_names, results.ranks, results.similarities
    ):
        if name in ("dot", "thin"):
            assert ids.tolist() == list(range(len(names)))
            assert (similarities == -1).all()
        else:
            assert ids[-2:].tolist() == sorted(places)
            assert (similarities[-2:] == -1).all()
            assert similarities[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_limits_of_pixels_leave_images_out(models, folder, tmp_path):
    config = extraction_config(models / "local_and_global")
    output = tmp_path / "features"
    summary = extract_images(
        config, images_in_folder(folder), output, max_image_pixels=99 * 77
    )
    assert (summary.extracted, summary.empty) == (2, 0)
    assert [name for name, _ in summary.skipped] == ["b"]
    assert "19200 pixels" in (output / SKIPPED_FILE).read_text()
    # The large one is done once it is allowed.
    summary = extract_images(config, images_in_folder(folder), output)
    assert (summary.extracted, summary.reused) == (1, 2)


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        # A typing error, found with its place.
        ("model_path: 'm'\nimage_scale: 1.0\n", ["--images_dir={}"], "2:1"),
        # No model there.
        (None, ["--images_dir={}/jpg"], "saved_model.pb"),
        (None, ["--images_dir={}/none"], "none"),
        (None, [], "--images_dir"),
        (None, ["--dataset_file_path={}/gnd.pkl"], "--images_dir"),
    ],
)
def test_tool_refuses_bad_input_without_a_traceback(
    data_set, content, arguments, message
):
    path = save_config(data_set, extraction_config(data_set / "model"))
    if content is not None:
        path.write_text(content)
    done = run_tool(
        "tools/extract_features.py",
        f"--delf_config_path={path}",
        f"--output_features_dir={data_set / 'new'}",
        *(argument.format(data_set) for argument in arguments),
    )
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (data_set / "new").exists()
