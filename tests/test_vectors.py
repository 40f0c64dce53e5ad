"""Stored descriptors of all kinds, against a slow search in float64."""

import concurrent.futures
import dataclasses

import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.retrieval.vectors.base import NO_ROW
from delg_tf.retrieval.vectors.choice import (
    open_vectors,
    train_vectors,
    write_vectors,
)
from delg_tf.retrieval.vectors.options import KINDS, VectorOptions
from delg_tf.retrieval.vectors.recall import measured_recall

# Enough rows for a copy in bfloat16.
ROWS, DIMENSION = 20_000, 32
EXACT = [
    (kind, method)
    for kind in ("float32", "float16", "int8")
    for method in ("product", "faiss")
]


def _unit(values):
    values = values / np.linalg.norm(values, axis=-1, keepdims=True)
    return values.astype(np.float32)


def _clustered(rng, rows, dimension=DIMENSION, clusters=40, noise=0.6):
    centres = _unit(np.random.default_rng(9).normal(size=(clusters, dimension)))
    own = centres[rng.integers(clusters, size=rows)]
    shift = rng.normal(size=(rows, dimension)) / np.sqrt(dimension)
    return _unit(own + noise * shift)


def _stored(folder, descriptors, options, method="auto"):
    trained = None
    if options.needs_training:
        trained = folder / "trained"
        sample = _clustered(np.random.default_rng(8), 2000)
        train_vectors(trained, sample, options, rows=len(descriptors))
    path = folder / "vectors"
    path.mkdir()
    write_vectors(path, descriptors, options, trained)
    return open_vectors(path, options, trained, method)


def _slow_search(vectors, queries, k, allowed):
    """Every similarity in float64; equal ones in the order of rows."""
    rows = vectors.rows(np.arange(len(vectors))).astype(np.float64)
    similarities = (queries.astype(np.float64) @ rows.T).astype(np.float32)
    if allowed is not None:
        similarities[:, ~allowed] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    similarities = np.take_along_axis(similarities, order, axis=1)
    return np.where(similarities > -np.inf, order, NO_ROW), similarities


@pytest.fixture(scope="module")
def descriptors():
    rng = np.random.default_rng(0)
    values = _clustered(rng, ROWS)
    values[100:140] = values[99]
    values[ROWS - 30 :] = values[99]
    values[5] = 0  # An image without a descriptor.
    return values


@pytest.fixture(scope="module", params=EXACT, ids="-".join)
def exact(request, descriptors, tmp_path_factory):
    kind, method = request.param
    folder = tmp_path_factory.mktemp(kind)
    return _stored(folder, descriptors, VectorOptions(kind), method)


@pytest.mark.parametrize("share", [None, 0.5, 0.01, 0.0])
def test_exact_kinds_equal_a_slow_search(exact, descriptors, share):
    rng = np.random.default_rng(1)
    queries = _clustered(rng, 9)
    queries[4] = descriptors[99]
    queries[5] = 0
    allowed = None if share is None else rng.random(ROWS) < share
    for k in (1, 20, 300, ROWS + 7):
        rows, similarities = exact.search(queries, k, allowed)
        expected, true = _slow_search(exact, queries, k, allowed)
        assert rows.shape == similarities.shape == (9, k)
        assert rows.dtype == np.int64 and similarities.dtype == np.float32
        np.testing.assert_array_equal(rows[:, :ROWS], expected)
        np.testing.assert_array_equal(similarities[:, :ROWS], true)
        assert (rows[:, ROWS:] == NO_ROW).all()
    one = exact.search(queries[2:3], 300, allowed)[0]
    np.testing.assert_array_equal(
        one, exact.search(queries, 300, allowed)[0][2:3]
    )


def test_near_duplicates_that_bfloat16_cannot_tell_apart(tmp_path):
    rng = np.random.default_rng(2)
    values = _clustered(rng, ROWS)
    queries = _clustered(rng, 3)
    # Similarities of each group differ in the sixth place. The second group is
    # larger than what is kept as candidates.
    places = rng.permutation(ROWS)
    for query, group in zip(
        queries, np.split(places[:9000], [3000]), strict=False
    ):
        shift = rng.normal(size=(len(group), DIMENSION))
        values[group] = _unit(query + 1e-3 * _unit(shift))
    vectors = _stored(tmp_path, values, VectorOptions(), "product")
    found = vectors.search(queries, 100)
    expected = _slow_search(vectors, queries, 100, None)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    # The test can fail: rounded to bfloat16, the order is another one.
    bits = values.view(np.uint32) & np.uint32(0xFFFF0000)
    rounded = np.argsort(-(queries @ bits.view(np.float32).T), axis=1)[:, :100]
    assert np.isin(rounded[0], expected[0][0]).mean() < 0.9


def test_the_kinds_store_what_they_promise(tmp_path, descriptors):
    sizes = {}
    for kind in ("float32", "float16", "int8"):
        folder = tmp_path / kind
        folder.mkdir()
        vectors = _stored(folder, descriptors, VectorOptions(kind), "faiss")
        kept = vectors.rows(np.arange(ROWS))
        assert kept.dtype == np.float32
        assert not kept[5].any()
        true = descriptors[np.arange(ROWS) != 5]
        cosines = np.sum(_unit(kept[np.arange(ROWS) != 5]) * true, axis=1)
        assert cosines.min() > {"int8": 0.9998}.get(kind, 0.999999)
        sizes[kind] = vectors.memory_bytes / descriptors.size
        assert vectors.is_exact
        assert (len(vectors), vectors.dimension) == (ROWS, DIMENSION)
    assert sizes == {"float32": 4, "float16": 2, "int8": 1 + 4 / DIMENSION}


@pytest.mark.parametrize(
    ("options", "floor"),
    [
        (VectorOptions("hnsw", neighbours=16), 0.95),
        (VectorOptions("ivfpq", lists=16), 0.95),
        (VectorOptions("ivfpq", copy="int8", lists=16), 0.95),
        (VectorOptions("ivfpq", copy="none", code_bytes=8, lists=16), 0.5),
    ],
    ids=["hnsw", "ivfpq", "ivfpq-int8", "ivfpq-none"],
)
def test_approximate_kinds(tmp_path, options, floor):
    rng = np.random.default_rng(3)
    values, queries = _clustered(rng, 4000), _clustered(rng, 30)
    values[7] = 0
    vectors = _stored(tmp_path, values, options)
    (tmp_path / "exact").mkdir()
    exact = _stored(tmp_path / "exact", values, VectorOptions())
    assert not vectors.is_exact
    assert measured_recall(vectors, exact, queries, 20) >= floor
    np.testing.assert_equal(
        np.sum(vectors.rows(np.array([3, 9])) * values[[3, 9]], axis=1) > 0.7,
        True,
    )
    for share in (None, 0.5, 0.02, 0.0):
        allowed = None if share is None else rng.random(4000) < share
        rows, similarities = vectors.search(queries, 20, allowed)
        expected, _ = _slow_search(exact, queries, 20, allowed)
        present = rows != NO_ROW
        assert (present.sum(axis=1) == (expected != NO_ROW).sum(axis=1)).all()
        assert allowed is None or allowed[rows[present]].all()
        assert all(
            len(set(row[row != NO_ROW])) == np.sum(row != NO_ROW)
            for row in rows
        )
        # Similarities are true, and in order.
        true = np.einsum(
            "qd,qkd->qk",
            queries,
            vectors.rows(rows.clip(0).ravel()).reshape(30, 20, -1),
        )
        np.testing.assert_allclose(
            similarities[present], true[present], atol=1e-6
        )
        assert (np.diff(similarities[present].reshape(30, -1)) <= 0).all()
        hits = np.isin(rows, expected)[present]
        assert not hits.size or hits.mean() >= floor - 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_and_wrong_arguments(tmp_path, kind):
    options = VectorOptions(kind)
    values = _clustered(np.random.default_rng(4), 1)
    vectors = _stored(tmp_path, values, options)
    rows, similarities = vectors.search(np.concatenate([values, -values]), 3)
    np.testing.assert_array_equal(rows, [[0, NO_ROW, NO_ROW]] * 2)
    np.testing.assert_allclose(similarities[:, 0], [1, -1], atol=1e-2)
    assert np.isneginf(similarities[:, 1:]).all()
    for queries, k, allowed, word in (
        (values[:, 1:], 1, None, "queries"),
        (values * np.nan, 1, None, "finite"),
        (values, 0, None, "`k`"),
        (values, 1, np.ones(2, bool), "allowed"),
    ):
        with pytest.raises(ValueError, match=word):
            vectors.search(queries, k, allowed)
    (tmp_path / "second").mkdir()
    with pytest.raises(ValueError, match="row 0"):
        write_vectors(
            tmp_path / "second", values * np.inf, options, tmp_path / "trained"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_named(tmp_path, kind):
    options = VectorOptions(kind)
    rows = ROWS if kind == "float32" else 300
    _stored(tmp_path, _clustered(np.random.default_rng(5), rows), options)
    trained = tmp_path / "trained" if options.needs_training else None
    folder = tmp_path / "vectors"
    paths = sorted(folder.iterdir())
    assert paths
    for path in paths:
        content = path.read_bytes()
        for bad in (None, content[: len(content) // 2], b"\0" * len(content)):
            path.unlink()
            if bad is not None:
                path.write_bytes(bad)
            with pytest.raises(InputError, match=path.name):
                open_vectors(folder, options, trained)
            path.write_bytes(content)
    open_vectors(folder, options, trained)
    other = "int8" if kind != "int8" else "float16"
    with pytest.raises(InputError, match=kind):
        open_vectors(folder, VectorOptions(other))


def test_ivfpq_asks_for_training_that_fits(tmp_path):
    options = VectorOptions("ivfpq")
    values = _clustered(np.random.default_rng(6), 300)
    with pytest.raises(InputError, match="256"):
        train_vectors(tmp_path / "trained", values[:200], options)
    with pytest.raises(InputError, match="trained"):
        write_vectors(tmp_path, values, options)
    with pytest.raises(InputError, match="code_bytes"):
        train_vectors(
            tmp_path / "trained",
            values,
            dataclasses.replace(options, code_bytes=5),
        )
    train_vectors(tmp_path / "trained", values, options)
    with pytest.raises(InputError, match="dimensions"):
        write_vectors(tmp_path, values[:, :16], options, tmp_path / "trained")
    with pytest.raises(InputError, match="cannot be trained"):
        train_vectors(tmp_path / "other", values, VectorOptions("hnsw"))


def test_threads_search_alike(tmp_path, descriptors):
    vectors = _stored(tmp_path, descriptors, VectorOptions(), "product")
    queries = _clustered(np.random.default_rng(7), 12)
    expected, _ = vectors.search(queries, 50)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for rows, _ in pool.map(
            lambda _: vectors.search(queries, 50), range(8)
        ):
            np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize(
    "values",
    [{"kind": "lsh"}, {"copy": "zip"}, {"neighbours": 1}, {"probes": True}],
)
def test_options_out_of_range(values):
    with pytest.raises(InputError, match=next(iter(values))):
        VectorOptions(**values)
