"""The exact index in memory, against sorting; the one on disk likewise."""

import numpy as np
import pytest

from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.index.settings import IndexSettings
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
    index = MemoryIndex(_names(500), descriptors)
    hits = index.search(queries, k)
    product = queries @ descriptors.T
    expected = np.argsort(-product, axis=1, kind="stable")[:, :k]
    assert hits.ids.dtype == np.int64
    np.testing.assert_array_equal(hits.ids, expected)
    np.testing.assert_array_equal(
        hits.similarities, np.take_along_axis(product, expected, axis=1)
    )


def test_search_in_chunks_equals_argsort(monkeypatch):
    rng = np.random.default_rng(5)
    descriptors, queries = _unit(rng, 200, 32), _unit(rng, 11, 32)
    index = MemoryIndex(_names(200), descriptors)
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
        MemoryIndex(names, descriptors)


@pytest.mark.parametrize("k", [1, 6, 27, 28, 30])
def test_images_without_a_descriptor_come_last(k):
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
    index = MemoryIndex(_names(30), descriptors)
    hits = index.search(queries, k)
    np.testing.assert_array_equal(hits.ids, expected)
    np.testing.assert_array_equal(
        hits.similarities, np.take_along_axis(similarities, expected, axis=1)
    )
    # Sorting them by similarity again, as re-ranking does, changes nothing.
    results = search(index, _names(5, "q"), queries)
    np.testing.assert_array_equal(
        results.without_reranking().ranks, results.ranks
    )


@pytest.mark.parametrize("parts", [[30], [1, 9, 20]])
def test_whole_rankings_of_an_index_on_disk(tmp_path, parts):
    rng = np.random.default_rng(1)
    descriptors, queries = _quarters(rng, 30), _quarters(rng, 5)
    descriptors[[0, 7, 29]] = queries[2] = 0
    create_index(tmp_path / "index", IndexSettings(4))
    with open_writer(tmp_path / "index") as writer:
        for end, count in zip(np.cumsum(parts), parts):
            names = _names(30)[end - count : end]
            rows = descriptors[end - count : end]
            writer.add(ImageBatch(names, rows))
            writer.commit()
    index = open_index(tmp_path / "index")
    assert index.describe().segments == len(parts)
    expected = MemoryIndex(_names(30), descriptors).search(queries, 30)
    hits = index.search(queries, 1000)
    assert hits.names == expected.names
    np.testing.assert_array_equal(hits.ids, expected.ids)
    np.testing.assert_array_equal(hits.similarities, expected.similarities)


def test_bad_searches():
    index = MemoryIndex(["a", "b"], np.eye(2, dtype=np.float32))
    query = np.array([[1, 0]], np.float32)
    assert index.search(query, 3).names_of(0) == ["a", "b"]
    with pytest.raises(ValueError, match="`k` must be 1 or more"):
        index.search(query, 0)
    with pytest.raises(ValueError, match=r"\[N, 2\]"):
        index.search(np.array([[1, 0, 0]], np.float32), 1)
    with pytest.raises(ValueError, match="takes no filter"):
        index.search(query, 1, "label == 1")
