import json
import os

import faiss
import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index import GlobalIndex
from delg_tf.retrieval.search import search


def _unit(rng, count, depth):
    vectors = rng.normal(size=(count, depth)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _quarters(rng, count):
    """Unit vectors of four halves: products are exact, and often equal."""
    signs = rng.choice(np.array([-0.5, 0.5], np.float32), size=(count, 4))
    return np.ascontiguousarray(signs)


def _names(count, prefix="image"):
    return [f"{prefix}_{i}" for i in range(count)]


@pytest.mark.parametrize("num_queries", [1, 3, 40])
@pytest.mark.parametrize("k", [1, 7, 50, 300, 499, 500])
def test_search_equals_stable_argsort_with_ties(num_queries, k):
    rng = np.random.default_rng(k)
    descriptors = _quarters(rng, 500)
    queries = _quarters(rng, num_queries)
    index = GlobalIndex.build(_names(500), descriptors)
    ids, similarities = index.search(queries, k)
    product = queries @ descriptors.T
    expected = np.argsort(-product, axis=1, kind="stable")[:, :k]
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(
        similarities, np.take_along_axis(product, expected, axis=1)
    )


def test_search_in_chunks_equals_argsort(monkeypatch):
    rng = np.random.default_rng(5)
    descriptors, queries = _unit(rng, 200, 32), _unit(rng, 11, 32)
    index = GlobalIndex.build(_names(200), descriptors)
    monkeypatch.setattr(
        "delg_tf.retrieval.search._RANKED_A_CHUNK", 3 * len(index)
    )
    results = search(index, _names(11, "q"), queries)
    product = queries.astype(np.float64) @ descriptors.T.astype(np.float64)
    np.testing.assert_array_equal(results.ranks, np.argsort(-product, axis=1))
    np.testing.assert_allclose(
        results.similarities, -np.sort(-product, axis=1), atol=1e-6
    )
    assert results.is_complete and results.inliers is None
    assert results.ranks.dtype == np.int32


@pytest.mark.parametrize(
    ("descriptors", "names", "message"),
    [
        (np.ones((2, 4), np.float32), ["a", "b"], "row 0 with norm 2"),
        (np.full((1, 4), np.nan, np.float32), ["a"], "norm nan"),
        (np.eye(2, dtype=np.float32), ["a"], "1 names, 2 descriptors"),
        (np.eye(2, dtype=np.float32), ["a", "a"], "same name"),
        (np.eye(2, dtype=np.float32), ["a", "b\n"], "single lines"),
        (np.zeros((0, 4), np.float32), [], "N at least 1"),
    ],
)
def test_bad_descriptors_and_names(descriptors, names, message):
    with pytest.raises(ValueError, match=message):
        GlobalIndex.build(names, descriptors)


@pytest.mark.parametrize("k", [1, 6, 27, 28, 30])
def test_images_without_a_descriptor_come_last(tmp_path, k):
    rng = np.random.default_rng(k)
    # Many similarities are equal, and some are below 0.
    descriptors, queries = _quarters(rng, 30), _quarters(rng, 5)
    empty = [0, 7, 29]
    descriptors[empty] = 0
    queries[2] = 0
    similarities = queries @ descriptors.T
    similarities[:, empty] = -1
    similarities[2] = -1
    expected = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    index = GlobalIndex.build(_names(30), descriptors)
    index.save(tmp_path / "index")
    for searched in (index, GlobalIndex.load(tmp_path / "index")):
        ids, found = searched.search(queries, k)
        np.testing.assert_array_equal(ids, expected)
        np.testing.assert_array_equal(
            found, np.take_along_axis(similarities, expected, axis=1)
        )
    # Sorting them by similarity again, as re-ranking does, changes nothing.
    results = search(index, _names(5, "q"), queries)
    np.testing.assert_array_equal(
        results.without_reranking().ranks, results.ranks
    )


def test_bad_searches():
    index = GlobalIndex.build(["a", "b"], np.eye(2, dtype=np.float32))
    query = np.array([[1, 0]], np.float32)
    for k in (0, 3):
        with pytest.raises(ValueError, match="index size, 2"):
            index.search(query, k)
    with pytest.raises(ValueError, match=r"\[N, 2\]"):
        index.search(np.array([[1, 0, 0]], np.float32), 1)


def test_index_round_trip(tmp_path):
    rng = np.random.default_rng(2)
    # Names of files need not be valid UTF-8.
    names = ["a/b/é", os.fsdecode(b"caf\xe9"), *_names(28)]
    index = GlobalIndex.build(names, _unit(rng, 30, 8), "features")
    index.save(tmp_path / "new" / "index")
    loaded = GlobalIndex.load(tmp_path / "new" / "index")
    assert loaded.names == tuple(names)
    assert (loaded.features_dir, loaded.dimension) == ("features", 8)
    queries = _unit(rng, 4, 8)
    for one, other in zip(index.search(queries, 9), loaded.search(queries, 9)):
        np.testing.assert_array_equal(one, other)
    manifest = json.loads((tmp_path / "new/index/manifest.json").read_text())
    assert manifest["count"] == 30 and manifest["version"] == 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["index"]


def _tiny_index(value=1.0):
    return GlobalIndex.build(["a"], np.array([[value, 0]], np.float32))


def test_index_is_not_overwritten_silently(tmp_path, monkeypatch):
    path = tmp_path / "index"
    path.mkdir()
    _tiny_index(1.0).save(path)  # an empty folder is free
    with pytest.raises(InputError, match="exists already"):
        _tiny_index().save(path)
    _tiny_index(-1.0).save(path, overwrite=True)
    query = np.array([[1, 0]], np.float32)
    assert GlobalIndex.load(path).search(query, 1)[1] == -1.0

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(faiss, "write_index", fail)
    with pytest.raises(OSError, match="disk full"):
        _tiny_index().save(path, overwrite=True)
    assert GlobalIndex.load(path).search(query, 1)[1] == -1.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]


def test_other_folders_are_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"dear")
    with pytest.raises(InputError, match="other content"):
        _tiny_index().save(tmp_path / "photos", overwrite=True)
    with pytest.raises(InputError, match="no folder"):
        _tiny_index().save(tmp_path / "photos/a.jpg", overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"dear"


def _edit_manifest(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "manifest.json does not"),
        (lambda f: (f / "names.txt").write_text("b\n"), "names.txt is not"),
        (lambda f: (f / "names.txt").unlink(), "names.txt does not"),
        (lambda f: (f / "descriptors.faiss").write_bytes(b"xx"), "no FAISS"),
        (lambda f: _edit_manifest(f, version=2), "version 2 is not known"),
        (lambda f: _edit_manifest(f, count=2), "descriptors.faiss is not"),
        (lambda f: _edit_manifest(f, format="x"), "does not describe"),
        (lambda f: _edit_manifest(f, extra=1), "manifest.json is damaged"),
    ],
)
def test_damaged_index(tmp_path, damage, message):
    _tiny_index().save(tmp_path / "index")
    GlobalIndex.load(tmp_path / "index")
    damage(tmp_path / "index")
    with pytest.raises(InputError, match=message):
        GlobalIndex.load(tmp_path / "index")
