"""Command lines of the index: building, adding, filtering, managing."""

import json

import numpy as np
import pytest
from feature_files import unit_features
from tool_process import last_line, run_tool

from delg_tf.features import feature_io
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.compact.store_writer import ArrowStoreWriter
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index import importing
from delg_tf.retrieval.index.choice import open_index
from delg_tf.retrieval.index.importing import ImportOptions, import_features
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import search_features


def _write(folder, name, angle, count=9):
    descriptor = np.array([np.cos(angle), np.sin(angle)], np.float32)
    path = folder / f"{name}.delg_global"
    feature_io.write_global_descriptor(path, descriptor)
    # All of one scene: they match each other.
    local = unit_features(count, 32)
    feature_io.write_local_features(path.with_suffix(".delg_local"), local)


@pytest.fixture
def features(tmp_path):
    folder = tmp_path / "features"
    for number in range(6):
        _write(folder, f"sub/i{number}", 0.1 * number)
    return folder


def _tool(name, *arguments):
    return run_tool(f"tools/{name}.py", *arguments)


def _succeed(name, *arguments):
    done = _tool(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_index_with_everything(features, tmp_path):
    index, csv = f"--index_dir={tmp_path / 'index'}", tmp_path / "list.csv"
    csv.write_text(
        "path,city,year\n"
        + "".join(f"sub/i{n}.jpg,{'AB'[n % 2]},{n}\n" for n in range(5))
    )
    printed = _succeed(
        "build_index",
        index,
        f"--features_dir={features}",
        "--local_format=binary",
        f"--metadata_csv={csv}",
    )
    assert "6 images added, 0 were there" in printed
    # Another place of features; one image is damaged.
    more = tmp_path / "more"
    _write(more, "x", 3.0)
    _write(more, "sub/i1", 3.0)
    _write(more, "bad", 3.0)
    (more / "bad.delg_local").write_bytes(b"\xff\xff")
    build = ("build_index", index, f"--features_dir={more}", "--add")
    printed = _succeed(*build)
    assert "1 images added, 1 were there" in printed
    assert "1 damaged" in printed
    skipped = (tmp_path / "index.skipped_images.csv").read_text()
    assert "bad.delg_local" in skipped
    (more / "bad.delg_local").unlink()
    (more / "bad.delg_global").unlink()
    assert "2 images added, 0 were there" in _succeed(*build, "--replace")
    opened = open_index(tmp_path / "index")
    assert opened.metadata("sub/i2")["city"] == "A"
    assert opened.metadata("sub/i1")["city"] is None
    # Re-ranking reads the index itself: the features are gone.
    for path in features.glob("sub/*"):
        path.rename(features / path.name)
    _succeed(
        "search_features",
        index,
        f"--query_features_dir={features}",
        "--query_names=i5",
        '--where=city == "A" or startswith(name, "x")',
        "--rerank",
        "--num_to_rerank=2",
        f"--output={tmp_path / 'results.npz'}",
    )
    results = SearchResults.load(tmp_path / "results.npz")
    rows = [(row.image, row.inliers) for row in results.to_rows()]
    assert rows == [("sub/i4", 9), ("sub/i2", 9), ("sub/i0", 0), ("x", 0)]
    _manage(tmp_path, index, csv)


def _manage(tmp_path, index, csv):
    csv.write_text("name,year\nx,1999\nother,3\n")
    printed = _succeed(
        "manage_index", index, "--command=set_metadata", f"--metadata_csv={csv}"
    )
    assert "1 images set; 1 rows are of images not in the index" in printed
    remove = ("manage_index", index, "--command=remove")
    assert "1 images removed, 6 left" in _succeed(
        *remove, "--where=year > 1000"
    )
    done = _tool(*remove, "--names=sub/i0,none")
    assert done.returncode == 1
    assert "error: 1 images are not in the index: none" in done.stderr
    assert "6 images in one part" in _succeed(
        "manage_index", index, "--command=compact"
    )
    described = json.loads(last_line(_succeed("manage_index", index, "--json")))
    assert (described["images"], described["deleted"]) == (6, 0)
    assert described["columns"] == {
        "path": "string",
        "city": "string",
        "year": "int64",
    }
    assert described["settings"]["local_format"] == "binary"
    (path,) = (tmp_path / "index").rglob("local.arrows")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    done = _tool("manage_index", index, "--command=verify")
    assert done.returncode == 1 and f"{path} is damaged" in done.stderr


def test_a_killed_import_goes_on(features, tmp_path, monkeypatch):
    place, store = tmp_path / "index", FeatureStore(features)
    monkeypatch.setattr(importing, "COMMIT_IMAGES", 2)
    monkeypatch.setattr(importing, "_BATCH_BYTES", 8)
    read = FeatureStore.readable_descriptors

    def dying(self, names, *arguments):
        if "sub/i3" in names:
            raise KeyboardInterrupt
        return read(self, names, *arguments)

    monkeypatch.setattr(FeatureStore, "readable_descriptors", dying)
    with pytest.raises(KeyboardInterrupt):
        import_features(place, store)
    assert open_index(place).names == ("sub/i0", "sub/i1")
    monkeypatch.setattr(FeatureStore, "readable_descriptors", read)
    with pytest.raises(ValueError, match="--add to"):
        import_features(place, store)
    summary = import_features(place, store, options=ImportOptions(add=True))
    assert (summary.added, summary.there) == (4, 2)
    assert len(open_index(place)) == 6
    # An older index stays until a new one is complete.
    monkeypatch.setattr(FeatureStore, "readable_descriptors", dying)
    again = ImportOptions(overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        import_features(place, store, options=again)
    assert len(open_index(place)) == 6
    monkeypatch.setattr(FeatureStore, "readable_descriptors", read)
    import_features(place, store, ["sub/i5"], again)
    assert open_index(place).names == ("sub/i5",)
    assert [p.name for p in tmp_path.glob("*index*")] == ["index"]


def test_indexes_know_the_model_of_stores(tmp_path):
    for model in ("one", "two"):
        path = tmp_path / f"{model}.arrows"
        info = StoreInfo("binary", "float32", model)
        with ArrowStoreWriter.create(path, info) as writer:
            vector = np.eye(2, dtype=np.float32)[0]
            local = unit_features(3, 16)
            image = CompactImage.make(vector, local, "binary")
            writer.append([(model, image)])
    place = tmp_path / "index"
    import_features(place, FeatureStore(tmp_path / "one.arrows"))
    assert open_index(place).settings.model == "one"
    other = FeatureStore(tmp_path / "two.arrows")
    with pytest.raises(ValueError, match="configuration two, the index of one"):
        import_features(place, other, options=ImportOptions(add=True))
    with pytest.raises(ValueError, match="asked for"):
        import_features(
            place, other, options=ImportOptions(local_format="int8", add=True)
        )
    with pytest.raises(ValueError, match="configuration two, the index of one"):
        search_features(open_index(place), other)
