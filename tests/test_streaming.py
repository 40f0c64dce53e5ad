"""Streamed rankings, against whole rankings of the ordinary path."""

import fractions
import json

import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery
from delg_tf.evaluation.revisited import (
    evaluate,
    evaluate_before_and_after,
    labels_in_results,
)
from delg_tf.evaluation.streamed import evaluate_source, evaluate_streamed
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.search import search
from delg_tf.retrieval.streaming.array_source import ArraySource
from delg_tf.retrieval.streaming.joined_source import JoinedSource
from delg_tf.retrieval.streaming.memory import bytes_a_row
from delg_tf.retrieval.streaming.scores import Scores
from delg_tf.retrieval.streaming.search import stream_search
from delg_tf.retrieval.streaming.store_source import IndexSource
from delg_tf.retrieval.vectors.options import VectorOptions

QUERIES, LABELLED_IMAGES, DISTRACTORS, DIMENSION = 9, 60, 340, 16
IMAGES = LABELLED_IMAGES + DISTRACTORS


def _names(count, prefix):
    return tuple(f"{prefix}{i}" for i in range(count))


def _tied(rng, count):
    """Unit vectors whose inner products are exact, and often equal."""
    return rng.choice([-0.25, 0.25], (count, DIMENSION)).astype(np.float32)


def _unit(rng, count):
    values = rng.normal(size=(count, DIMENSION))
    values += 2 * rng.normal(size=(8, DIMENSION))[rng.integers(8, size=count)]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values.astype(np.float32)


def _case(rng, draw):
    """Returns ground truth, names and descriptors; some are zeros."""
    queries, images = draw(rng, QUERIES), draw(rng, IMAGES)
    images[rng.integers(IMAGES, size=30)] = images[7]
    images[rng.integers(IMAGES, size=10)] = 0
    images[11] = 0
    queries[2] = 0
    queries[5] = images[7]
    images[13] = -images[7]  # As far as an image without a descriptor.
    labels = []
    for query in range(QUERIES):
        ids = rng.permutation(LABELLED_IMAGES)
        ends = np.sort(rng.integers(0, 40, size=3))
        if query == 3:
            ends[:2] = 0  # No right image.
        labels.append(RevisitedQuery(*np.split(ids, ends)[:3]))
    ground_truth = RevisitedGroundTruth(
        _names(QUERIES, "query")[::-1],
        _names(LABELLED_IMAGES, "image"),
        labels,
    )
    names = _names(LABELLED_IMAGES, "image") + _names(DISTRACTORS, "other")
    order = rng.permutation(IMAGES)  # Distractors need not come last.
    return ground_truth, tuple(names[i] for i in order), queries, images


class _Counts:
    """Inliers that depend on the names alone; half of them are none."""

    def count(self, pairs):
        rng = [np.random.default_rng(list("".join(p).encode())) for p in pairs]
        return np.array([max(0, r.integers(-4, 5)) for r in rng], np.int32)


def _same(metrics, expected):
    # Equal to the last digit; NaN, which a query without a right image has,
    # equals NaN as text.
    assert json.dumps(metrics) == json.dumps(expected)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("block", [1, 37, 200, 100_000])
def test_metrics_and_lists_are_those_of_whole_rankings(seed, block):
    rng = np.random.default_rng(seed)
    truth, names, queries, images = _case(rng, _tied)
    query_names = _names(QUERIES, "query")
    whole = search(MemoryIndex(names, images), query_names, queries)
    source = JoinedSource(
        [
            ArraySource(names[:150], images[:150]),
            ArraySource(names[150:], images[150:]),
        ]
    )
    # One query has no descriptor.
    memory = block * bytes_a_row(QUERIES - 1, DIMENSION) / 2**20
    arguments = truth, query_names, queries, source
    metrics, rankings = evaluate_source(*arguments, memory_mib=memory)
    _same(metrics, evaluate(whole, truth))
    first = whole.first(100)
    np.testing.assert_array_equal(rankings.results.ranks, first.ranks)
    np.testing.assert_array_equal(
        rankings.results.similarities, first.similarities
    )
    for row in range(QUERIES):
        np.testing.assert_array_equal(
            whole.ranks[row, rankings.places[row]], rankings.labelled[row]
        )
    # Ties are many, or the test would show little.
    assert len(np.unique(whole.similarities)) < 30
    counter = _Counts()
    metrics, rankings = evaluate_source(
        *arguments, counter=counter, num_to_rerank=50, memory_mib=memory
    )
    reranked = rerank(whole, counter, 50)
    _same(metrics, evaluate_before_and_after(reranked, truth))
    first = reranked.first(100)
    np.testing.assert_array_equal(rankings.results.ranks, first.ranks)
    np.testing.assert_array_equal(rankings.results.inliers, first.inliers)
    assert not np.array_equal(first.ranks, whole.first(100).ranks)


def test_junk_is_kept_out_of_the_short_list_as_in_whole_rankings():
    rng = np.random.default_rng(5)
    truth, names, queries, images = _case(rng, _tied)
    query_names = _names(QUERIES, "query")
    whole = search(MemoryIndex(names, images), query_names, queries)
    metrics, _ = evaluate_source(
        truth,
        query_names,
        queries,
        ArraySource(names, images),
        counter=_Counts(),
        num_to_rerank=20,
        drop_junk=True,
        top=1,
    )
    expected = evaluate(whole, truth)
    for protocol in tuple(expected):
        labels = labels_in_results(whole, truth, protocol)
        junk = [labels[row].junk for row in range(QUERIES)]
        after = evaluate(
            rerank(whole, _Counts(), 20, junk), truth, protocols=[protocol]
        )
        expected[f"{protocol}_after_gv"] = after[protocol]
    _same(metrics, expected)
    assert metrics["hard"] != metrics["hard_after_gv"]


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_an_index_on_the_disk(tmp_path, kind):
    rng = np.random.default_rng(6)
    truth, names, queries, images = _case(rng, _unit)
    settings = IndexSettings(DIMENSION, vectors=VectorOptions(kind))
    place = tmp_path / "index"
    create_index(place, settings)
    with open_writer(place) as writer:
        writer.add(ImageBatch(["gone", *names[:90]], images[[0, *range(90)]]))
        writer.commit()
        writer.add(ImageBatch(names[90:], images[90:]))
        writer.remove(["gone"])
    index = open_index(place)
    query_names = _names(QUERIES, "query")
    whole = search(index, query_names, queries)
    metrics, rankings = evaluate_source(
        truth, query_names, queries, IndexSource(index), memory_mib=0.02
    )
    _same(metrics, evaluate(whole, truth))
    np.testing.assert_array_equal(
        rankings.results.ranks, whole.first(100).ranks
    )


def test_mapped_files_are_decoded_and_let_go(tmp_path):
    rng = np.random.default_rng(7)
    images = _unit(rng, 9000)
    scales = np.abs(images).max(axis=1) / 127
    codes = np.rint(images / scales[:, None]).astype(np.int8)
    np.save(tmp_path / "codes.npy", codes)
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")[1000:]
    source = ArraySource(_names(8000, "image"), mapped, scales[1000:])
    expected = codes[1000:].astype(np.float32) * scales[1000:, None]
    queries, labelled = images[:3], [np.arange(5)] * 3
    for _ in range(2):  # What was let go is there again.
        found = stream_search(
            source, _names(3, "q"), queries, labelled, 10, 0.5
        )
        np.testing.assert_array_equal(source.rows(np.arange(8000)), expected)
    scores = (queries.astype(np.float64) @ expected.T).astype(np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")
    np.testing.assert_array_equal(found.results.ranks, order[:, :10])
    np.testing.assert_array_equal(
        found.places, np.argsort(order, axis=1)[:, :5]
    )


def test_similarities_midway_between_two_floats():
    # 0.25 + k 2^-26: for odd k as near to one float32 as to the next.
    steps = np.arange(64)
    block = np.zeros((64, 4), np.float32)
    block[:, 0], block[:, 1] = 0.5, steps * 2.0**-25
    found = Scores(np.full((1, 4), 0.5, np.float32)).of_block(block)[0]
    for k, value in zip(steps, found, strict=True):
        exact = fractions.Fraction(1, 4) + fractions.Fraction(int(k), 2**26)
        assert value == np.float32(float(exact))


def test_bad_input():
    rng = np.random.default_rng(8)
    truth, names, queries, images = _case(rng, _unit)
    query_names = _names(QUERIES, "query")
    source = ArraySource(names, images)
    arguments = truth, query_names, queries
    with pytest.raises(InputError, match="at least 1 MiB"):
        evaluate_source(*arguments, source, memory_mib=1e-5)
    with pytest.raises(InputError, match="Precision at 401"):
        evaluate_source(*arguments, source, cutoffs=(401,))
    with pytest.raises(InputError, match=f"'{names[3]}' is in two"):
        JoinedSource([source, ArraySource(names[3:5], images[3:5])])
    with pytest.raises(InputError, match="of one length"):
        JoinedSource([source, ArraySource(["new"], images[:1, :8])])
    with pytest.raises(InputError, match=r"1 index images .* image0"):
        where = names.index("image0")
        short = ArraySource(
            names[:where] + names[where + 1 :], np.delete(images, where, axis=0)
        )
        evaluate_source(*arguments, short)
    rankings = stream_search(
        source, query_names, queries, [np.arange(3)] * QUERIES, 10
    )
    with pytest.raises(ValueError, match="labelled images"):
        evaluate_streamed(rankings, truth)
    images = images.copy()
    images[333, 2] = np.nan
    with pytest.raises(InputError, match=f"of {names[333]} has values"):
        evaluate_source(*arguments, ArraySource(names, images), memory_mib=0.1)
