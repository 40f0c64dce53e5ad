import dataclasses

import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery
from delg_tf.evaluation.pipeline import evaluate_features
from delg_tf.features import feature_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.convert import convert_features
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval import pair_block, pair_pool
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.rerank import (
    RerankConfig,
    rerank,
    rerank_features,
)
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features, search_features


def _unit(rng, count, depth):
    vectors = rng.normal(size=(count, depth)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _names(count, prefix="image"):
    return [f"{prefix}_{i}" for i in range(count)]


def _local(rng, count, depth=64):
    return LocalFeatures(
        locations=rng.uniform(0, 400, (count, 2)),
        descriptors=_unit(rng, count, depth),
        scales=np.ones(count),
        attention=np.ones(count),
        orientations=np.zeros(count),
    )


def _seen_again(rng, features, kept):
    """The first `kept` features moved by an affine map, the others new."""
    other = _local(rng, len(features))
    linear = np.array([[0.9, 0.2], [-0.1, 1.1]])
    locations, descriptors = other.locations.copy(), other.descriptors.copy()
    locations[:kept] = features.locations[:kept] @ linear.T + [20, -10]
    descriptors[:kept] = features.descriptors[:kept]
    return dataclasses.replace(
        other, locations=locations, descriptors=descriptors
    )


def _write(folder, name, descriptor, features):
    feature_io.write_global_descriptor(
        folder / f"{name}.delg_global", descriptor
    )
    feature_io.write_local_features(folder / f"{name}.delg_local", features)


@pytest.fixture
def stores(tmp_path):
    """Two queries, six images; q0 is seen again in 4 and 5, q1 in 3."""
    rng = np.random.default_rng(3)
    angles = {"q0": 0.0, "q1": 0.5} | {f"i{n}": 0.1 * n for n in range(6)}
    local = {name: _local(rng, 60) for name in angles}
    local["i4"] = _seen_again(rng, local["q0"], 20)
    local["i5"] = _seen_again(rng, local["q0"], 40)
    local["i3"] = _seen_again(rng, local["q1"], 30)
    for name, angle in angles.items():
        folder = tmp_path / ("query" if name[0] == "q" else "index")
        descriptor = np.array([np.cos(angle), np.sin(angle)], np.float32)
        _write(folder, name, descriptor, local[name])
    return FeatureStore(tmp_path / "query"), FeatureStore(tmp_path / "index")


def test_global_descriptors_of_a_folder(stores):
    _, store = stores
    assert store.list_names() == ["i0", "i1", "i2", "i3", "i4", "i5"]
    actual = store.global_descriptors(["i3", "i0"])
    expected = [[np.cos(0.3), np.sin(0.3)], [1, 0]]
    np.testing.assert_allclose(actual, expected, atol=1e-7)
    assert actual.dtype == np.float32


def test_bad_global_descriptors_are_all_named(stores):
    _, store = stores
    names = [f"none{i}" for i in range(12)]
    with pytest.raises(InputError, match=r"12 files .* none9; and 2 more"):
        store.global_descriptors(["i0", *names])
    store.global_path("i1").write_bytes(b"\xff")
    feature_io.write_global_descriptor(store.global_path("i2"), np.eye(3)[0])
    feature_io.write_global_descriptor(store.global_path("i3"), np.ones(2))
    with pytest.raises(InputError) as caught:
        store.global_descriptors(store.list_names())
    for text in ("3 bad", "i1.", "i2.", "3 dimensions", "i3.", "norm 1.41"):
        assert text in str(caught.value)


def _without_features(store, name):
    empty = np.zeros(0, np.float32)
    _write(store.directory, name, empty, LocalFeatures.empty())


def test_images_without_features_are_ranked_last(stores):
    query_store, index_store = stores
    for name in ("i0", "i7"):
        _without_features(index_store, name)
    _without_features(query_store, "q2")
    index = index_features(index_store)
    results = search_features(index, query_store)
    assert results.ranks[0].tolist() == [1, 2, 3, 4, 5, 0, 6]
    assert results.similarities[0, -2:].tolist() == [-1, -1]
    assert results.ranks[2].tolist() == list(range(7))
    after = rerank_features(
        results, query_store, index_store, RerankConfig(num_to_rerank=7)
    )
    assert after.ranks[0, :2].tolist() == [5, 4]
    assert after.inliers[2].tolist() == [0] * 7
    # A single query without a descriptor does not tell the dimension.
    alone = search_features(index, query_store, ["q2"], 3)
    assert alone.ranks.tolist() == [[0, 1, 2]]
    with pytest.raises(InputError, match=r"All 2 global descriptors .* empty"):
        index_features(index_store, ["i0", "i7"])


def test_local_features_are_kept(tmp_path, stores):
    store = FeatureStore(stores[1].directory, cache_size=2)
    first = store.local_features("i0")
    store.local_path("i0").unlink()
    store.local_features("i1")
    assert store.local_features("i0") is first
    # i1 and then i0 leave for two others.
    store.local_features("i2")
    store.local_features("i3")
    with pytest.raises(InputError, match=r"i0\.delg_local"):
        store.local_features("i0")
    with pytest.raises(InputError, match="features folder"):
        FeatureStore(tmp_path / "none")


class _KnownCounts:
    """Stands for InlierCounter; remembers what it was asked."""

    def __init__(self, counts):
        self.counts = counts
        self.asked = []

    def count(self, pairs):
        self.asked += pairs
        return np.array([self.counts[pair] for pair in pairs], np.int32)


def _random_results(rng, num_queries=4, size=30):
    # Few different similarities, so that ties are common.
    similarities = rng.choice(np.linspace(0, 1, 7), (num_queries, size))
    order = np.argsort(-similarities, axis=1, kind="stable")
    return SearchResults(
        tuple(_names(num_queries, "q")),
        tuple(_names(size, "i")),
        order,
        np.take_along_axis(similarities, order, axis=1),
    )


@pytest.mark.parametrize("drop", [False, True])
def test_rerank_equals_the_official_sort(drop):
    rng = np.random.default_rng(int(drop))
    results = _random_results(rng)
    counts = {
        (q, i): int(rng.integers(0, 4))
        for q in results.query_names
        for i in results.index_names
    }
    junk = [rng.permutation(30)[:5] for _ in results.query_names]
    counter = _KnownCounts(counts)
    actual = rerank(results, counter, 10, junk if drop else None)
    assert len(counter.asked) == 40
    for row, query in enumerate(results.query_names):
        similarity = dict(zip(results.ranks[row], results.similarities[row]))
        candidates = [
            i for i in results.ranks[row] if not (drop and i in junk[row])
        ][:10]
        inliers = {
            i: counts[query, f"i_{i}"] if i in candidates else 0
            for i in range(30)
        }
        expected = sorted(
            range(30), key=lambda i: (-inliers[i], -similarity[i], i)
        )
        assert actual.ranks[row].tolist() == expected
        assert actual.inliers[row].tolist() == [inliers[i] for i in expected]
        assert actual.similarities[row].tolist() == [
            similarity[i] for i in expected
        ]
    back = actual.without_reranking()
    np.testing.assert_array_equal(back.ranks, results.ranks)
    # Re-ranking a second time starts from the global order again.
    none = _KnownCounts(dict.fromkeys(counts, 0))
    again = rerank(actual, none, 10)
    np.testing.assert_array_equal(again.ranks, results.ranks)


def test_short_list_longer_than_the_index():
    results = _random_results(np.random.default_rng(0), size=3)
    counts = {
        (q, i): 1 for q in results.query_names for i in results.index_names
    }
    actual = rerank(results, _KnownCounts(counts), 100)
    np.testing.assert_array_equal(actual.ranks, results.ranks)
    with pytest.raises(ValueError, match="`excluded` must have one array"):
        rerank(results, _KnownCounts(counts), 100, [np.zeros(0)])


@pytest.mark.parametrize("backend", ["opencv", "skimage"])
def test_planted_views_come_first(stores, backend):
    query_store, index_store = stores
    results = search_features(index_features(index_store), query_store)
    assert results.ranks[0].tolist() == [0, 1, 2, 3, 4, 5]
    config = MatchingConfig(backend=backend, iterations=100)
    actual = rerank(results, InlierCounter(*stores, config, 2))
    assert actual.ranks[0].tolist() == [5, 4, 0, 1, 2, 3]
    assert actual.ranks[1].tolist() == [3, 5, 4, 2, 1, 0]
    assert actual.inliers[0].tolist() == [40, 20, 0, 0, 0, 0]
    assert actual.inliers[1, 0] == 30


@pytest.mark.parametrize("backend", ["numba", "numpy", "opencv", "usac"])
def test_threads_and_order_do_not_change_counts(stores, backend):
    # A loose threshold, so that chance matches make RANSAC's samples matter.
    config = MatchingConfig(
        descriptor_distance=1.4, residual_threshold=30.0, backend=backend
    )
    pairs = [(q, f"i{n}") for q in ("q0", "q1") for n in range(6)]
    one = InlierCounter(*stores, config, num_threads=1).count(pairs)
    many = InlierCounter(*stores, config, num_threads=4)
    np.testing.assert_array_equal(many.count(pairs[::-1])[::-1], one)
    assert one.dtype == np.int32 and len(set(one.tolist())) > 3


def test_counts_of_a_binary_store_are_those_of_its_numbers(stores, tmp_path):
    binary, numbers = [], []
    for store in stores:
        path = tmp_path / f"{store.directory.name}.arrows"
        convert_features(store.directory, path, "store", "binary")
        back = tmp_path / f"{store.directory.name}_back"
        convert_features(path, back, "official")
        binary.append(FeatureStore(path))
        numbers.append(FeatureStore(back))
    pairs = [(q, f"i{n}") for q in ("q0", "q1") for n in range(6)]
    config = MatchingConfig(binary_distance=1.3)
    counts = InlierCounter(*binary, config).count(pairs)
    assert len(set(counts.tolist())) > 2
    for first, second in ((numbers, numbers), (numbers, binary)):
        other = InlierCounter(first[0], second[1], config).count(pairs)
        np.testing.assert_array_equal(other, counts)


def test_damaged_local_features_count_nothing(stores):
    index_store = stores[1]
    index_store.local_path("i5").write_bytes(b"\xff\xff")
    index_store.local_path("i0").write_bytes(b"")  # no features: no damage
    counter = InlierCounter(*stores, MatchingConfig())
    pairs = [("q0", "i5"), ("q0", "i4"), ("q1", "i5"), ("q0", "i0")]
    assert counter.count(pairs).tolist() == [0, 20, 0, 0]
    assert len(counter.problems) == 1 and "i5.delg_local" in counter.problems[0]
    index_store.local_path("i1").unlink()
    with pytest.raises(InputError, match=r"1 files \*.delg_local .*: i1"):
        counter.count([("q0", "i1")])
    rng = np.random.default_rng(0)
    feature_io.write_local_features(
        index_store.local_path("i2"), _local(rng, 9, depth=8)
    )
    with pytest.raises(InputError, match=r"q0\.delg_local .* 64 .*i2.* of 8"):
        counter.count([("q0", "i2")])


def test_pairs_are_verified_once(stores, monkeypatch):
    calls = []

    def once(query_store, index_store, config, block):
        calls.extend((block.query, name) for name in block.candidates)
        return pair_block.BlockCounts([7] * len(block.candidates), [])

    monkeypatch.setattr(pair_pool, "count_block", once)
    counter = InlierCounter(*stores, MatchingConfig())
    pairs = [("q0", "i0"), ("q0", "i1"), ("q0", "i0")]
    assert counter.count(pairs).tolist() == [7, 7, 7]
    assert counter.count(pairs[1:]).tolist() == [7, 7]
    assert sorted(calls) == sorted(pairs[:2])


def test_processes_count_what_threads_do(stores):
    pairs = [(q, f"i{n}") for q in ("q0", "q1") for n in range(6)]
    threads = RerankConfig().counter(*stores).count(pairs)
    stores[1].local_path("i5").write_bytes(b"\xff\xff")
    counter = RerankConfig(num_processes=2).counter(*stores)
    counts = counter.count(pairs)
    assert len(counter.problems) == 1 and "i5.delg_local" in counter.problems[0]
    undamaged = [name != "i5" for _, name in pairs]
    np.testing.assert_array_equal(counts, threads * undamaged)
    opened = FeatureStore(stores[1].source)
    with pytest.raises(InputError, match="num_processes"):
        RerankConfig(num_processes=2).counter(stores[0], opened)


@pytest.mark.parametrize(
    "field", ["num_to_rerank", "num_threads", "num_processes"]
)
def test_rerank_config_is_checked(field):
    with pytest.raises(InputError, match=field):
        RerankConfig(**{field: 0})


def test_evaluation_with_and_without_junk_in_the_short_list(stores):
    ids = [np.array(values, np.int64) for values in ([5], [4], [0, 1])]
    none = np.zeros(0, np.int64)
    ground_truth = RevisitedGroundTruth(
        ("q0", "q1"),
        tuple(f"i{n}" for n in range(6)),
        (RevisitedQuery(*ids), RevisitedQuery(np.array([3]), none, none)),
    )
    values = {
        drop: evaluate_features(
            ground_truth, *stores, (1,), RerankConfig(num_to_rerank=4), drop
        )
        for drop in (False, True)
    }
    for drop in (False, True):
        # Order of q0: 0 1 2 3 4 5; without junk 2 3 4 5. i4 is third, i5 last.
        assert values[drop]["medium"]["per_query_ap"][0] == pytest.approx(
            100 * ((0 + 1 / 3) + (1 / 3 + 2 / 4)) / 4
        )
        # q1 sees i5 i4 i3 first, and i3 has the inliers.
        assert values[drop]["medium_after_gv"]["per_query_ap"][1] == 100
    # The short list 0 1 2 3 reaches neither i4 nor i5.
    after = values[False]["medium_after_gv"]["per_query_ap"][0]
    assert after == values[False]["medium"]["per_query_ap"][0]
    # Without junk it is 2 3 4 5, and both come to the front.
    assert values[True]["medium_after_gv"]["per_query_ap"][0] == 100
    assert values[True]["hard_after_gv"]["per_query_ap"][0] == 100
    assert list(values[True]) == list(values[False])


def test_search_results_round_trip(tmp_path):
    results = _random_results(np.random.default_rng(4))
    path = tmp_path / "sub" / "results.npz"
    results.save(path)
    with pytest.raises(InputError, match="exists already"):
        results.save(path)
    loaded = SearchResults.load(path)
    assert loaded.inliers is None
    inliers = np.ones(results.ranks.shape, np.int32)
    dataclasses.replace(results, inliers=inliers).save(path, overwrite=True)
    loaded = SearchResults.load(path)
    for field in dataclasses.fields(results):
        if field.name != "inliers":
            np.testing.assert_array_equal(
                getattr(loaded, field.name), getattr(results, field.name)
            )
    assert loaded.query_names == results.query_names
    np.testing.assert_array_equal(loaded.inliers, inliers)
    row = loaded.to_rows(top=2)[3]
    assert (row.query, row.rank) == ("q_1", 2)
    assert row.image == f"i_{results.ranks[1, 1]}"
    assert (row.similarity, row.inliers) == (results.similarities[1, 1], 1)


def test_damaged_search_results(tmp_path):
    path = tmp_path / "results.npz"
    results = _random_results(np.random.default_rng(4))
    dataclasses.replace(results, ranks=results.ranks * 0).save(path)
    with pytest.raises(InputError, match="distinct index images"):
        SearchResults.load(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", x=1)
    np.save(tmp_path / "bare.npy", 1)
    for data, message in (
        (whole[:-100], "no readable"),
        (b"text", "no readable"),
        (b"", "no readable"),
        ((tmp_path / "bare.npy").read_bytes(), "no readable"),
        ((tmp_path / "other.npz").read_bytes(), "no search results"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            SearchResults.load(path)
    with pytest.raises(ValueError, match="shape of `ranks`"):
        dataclasses.replace(results, inliers=np.zeros(3))
