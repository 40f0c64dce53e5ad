import dataclasses
import math

import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.listing import ranked_table
from delg_tf.retrieval.ranking.config import (
    DatabaseAugmentation,
    Diffusion,
    KReciprocal,
    QueryExpansion,
    RankingConfig,
)
from delg_tf.retrieval.ranking.database_augmentation import augment_descriptors
from delg_tf.retrieval.ranking.descriptors import of_array
from delg_tf.retrieval.ranking.diffusion import diffusion_scores
from delg_tf.retrieval.ranking.k_reciprocal import k_reciprocal_distances
from delg_tf.retrieval.ranking.pipeline import Ranker
from delg_tf.retrieval.ranking.query_expansion import expand_queries
from delg_tf.retrieval.rerank import rerank
from delg_tf.retrieval.results import SearchResults

# Every method is derived again here, slowly, from its paper's formulas.


def _unit(rng, count, depth=4):
    vectors = rng.normal(size=(count, depth)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _on_circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def _slow_mean(own, neighbours, alpha):
    total = own.astype(np.float64).copy()
    for similarity, vector in neighbours:
        total += max(similarity, 0.0) ** alpha * vector
    return total / math.sqrt(sum(x * x for x in total))


def _slow_order(similarities):
    return sorted(range(len(similarities)), key=lambda i: (-similarities[i], i))


def _slow_search(query, descriptors):
    cosines = [
        float(query @ d) if d.any() and query.any() else -1.0
        for d in descriptors.astype(np.float64)
    ]
    order = _slow_order(cosines)
    return order, [cosines[i] for i in order]


@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("min_inliers", [0, 5])
def test_query_expansion(monkeypatch, alpha, min_inliers):
    monkeypatch.setattr(
        "delg_tf.retrieval.ranking.query_expansion._NUMBERS_A_BLOCK", 40
    )
    rng = np.random.default_rng(int(alpha) + min_inliers)
    descriptors, queries = _unit(rng, 12), _unit(rng, 7)
    descriptors[3] = queries[2] = 0
    ranks = np.stack([rng.permutation(12)[:9] for _ in queries])
    similarities = np.einsum("qkd,qd->qk", descriptors[ranks], queries)
    inliers = rng.integers(0, 9, ranks.shape)
    inliers[0] = 0
    actual = expand_queries(
        queries,
        ranks,
        similarities,
        of_array(descriptors),
        3,
        alpha,
        inliers,
        min_inliers,
    )
    for row, query in enumerate(queries):
        found = [
            (float(similarities[row, place]), descriptors[image])
            for place, image in enumerate(ranks[row])
            if inliers[row, place] >= min_inliers
        ][:3]
        expected = query if row == 2 else _slow_mean(query, found, alpha)
        np.testing.assert_allclose(actual[row], expected, atol=1e-6)
    if min_inliers:
        np.testing.assert_allclose(actual[0], queries[0], atol=1e-6)
        with pytest.raises(ValueError, match="`inliers` must be given"):
            expand_queries(queries, ranks, similarities, None, 3, min_inliers=1)
    same = expand_queries(queries, ranks, similarities, None, 0)
    np.testing.assert_array_equal(same, queries)


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_database_augmentation(monkeypatch, tmp_path, alpha):
    monkeypatch.setattr(
        "delg_tf.retrieval.ranking.database_augmentation._NUMBERS_A_BLOCK", 99
    )
    rng = np.random.default_rng(1)
    # Numbers of which products are exact, so that ties are ties; some images
    # are equal, and two have no descriptor.
    descriptors = rng.choice(np.array([-0.5, 0.5], np.float32), (25, 4))
    descriptors[[0, 20]] = 0
    out = np.lib.format.open_memmap(
        tmp_path / "out.npy", "w+", np.float32, descriptors.shape
    )
    actual = augment_descriptors(descriptors, 5, alpha, out)
    assert actual is out
    for row, own in enumerate(descriptors):
        if row in (0, 20):
            assert not actual[row].any()
            continue
        order, cosines = _slow_search(own, descriptors)
        place = order.index(row)
        # If so many are equal to it that it is not among the first six, the
        # last of those is left out in its stead.
        del order[min(place, 5)], cosines[min(place, 5)]
        near = list(zip(cosines[:5], descriptors[order[:5]]))
        expected = _slow_mean(own, near, alpha)
        np.testing.assert_allclose(actual[row], expected, atol=1e-6)
    same = augment_descriptors(descriptors, 0)
    np.testing.assert_array_equal(same, descriptors)
    one = augment_descriptors(descriptors[1:2], 3)
    np.testing.assert_array_equal(one, descriptors[1:2])


def _slow_neighbours(cosines, i, k):
    others = [j for j in range(len(cosines)) if j != i]
    return sorted(others, key=lambda j: (-cosines[i, j], j))[:k]


@pytest.mark.parametrize(("k", "damping"), [(3, 0.9), (6, 0.99), (99, 0.5)])
def test_diffusion(k, damping):
    rng = np.random.default_rng(k)
    descriptors, query = _unit(rng, 30), _unit(rng, 1)[0]
    config = Diffusion(k, 4, damping, 2.0, tolerance=1e-10)
    cosines = (descriptors @ descriptors.T).astype(np.float64)
    near = [set(_slow_neighbours(cosines, i, k)) for i in range(30)]
    affinity = np.zeros((30, 30))
    for i in range(30):
        for j in near[i]:
            if i in near[j]:
                affinity[i, j] = max(cosines[i, j], 0) ** 2
    degree = affinity.sum(axis=1)
    root = np.sqrt(np.where(degree > 0, degree, 1))
    normalised = affinity / root[:, None] / root[None]
    to_query = (descriptors @ query).astype(np.float64)
    source = np.zeros(30)
    for i in _slow_order(to_query)[:4]:
        source[i] = max(to_query[i], 0) ** 2
    expected = np.linalg.solve(np.eye(30) - damping * normalised, source)
    actual = diffusion_scores(query, descriptors, config)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-7)


def test_diffusion_follows_the_manifold():
    # Nearest first: images 10 degrees apart on one side of the query; on the
    # other a group that is nearer than the last of them, and not joined.
    chain, group = [10, 20, 30, 40, 50, 60], [-38, -39, -41]
    query, descriptors = _on_circle(0)[0], _on_circle(*chain, *group)
    scores = diffusion_scores(query, descriptors, Diffusion(2, 2))
    assert (scores[:6] > 0).all() and (scores[6:] == 0).all()
    assert (np.diff(scores[1:6]) < 0).all()
    # Nothing is near: no scores, and no division by zero.
    away = diffusion_scores(-query, descriptors[:3], Diffusion(2, 2))
    assert away.tolist() == [0, 0, 0]


def _slow_k_reciprocal(query, descriptors, k1, k2, weight):
    nodes = np.concatenate([query[None], descriptors])
    cosines = (nodes @ nodes.T).astype(np.float64)
    size = len(nodes)

    def near(i, k):
        return {i, *_slow_neighbours(cosines, i, k)}

    def reciprocal(i, k):
        return {j for j in near(i, k) if i in near(j, k)}

    def expanded(i):
        members = set(reciprocal(i, k1))
        for c in reciprocal(i, k1):
            half = reciprocal(c, -(-k1 // 2))
            if len(half & reciprocal(i, k1)) >= len(half) * 2 / 3 - 1e-9:
                members |= half
        return members

    own = np.zeros((size, size))
    for i in range(size):
        for j in expanded(i):
            own[i, j] = math.exp(-(1 - cosines[i, j]))
    codes = np.array(
        [np.mean([own[j] for j in near(i, k2 - 1)], 0) for i in range(size)]
    )
    jaccard = [
        1 - np.minimum(codes[0], c).sum() / np.maximum(codes[0], c).sum()
        for c in codes[1:]
    ]
    return (1 - weight) * np.array(jaccard) + weight * (1 - cosines[0, 1:])


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(1, 1, 0.0), (5, 3, 0.3), (8, 1, 0.5), (99, 9, 1)]
)
def test_k_reciprocal(k1, k2, weight):
    rng = np.random.default_rng(k1)
    descriptors, query = _unit(rng, 25), _unit(rng, 1)[0]
    actual = k_reciprocal_distances(
        query, descriptors, KReciprocal(k1, k2, weight)
    )
    expected = _slow_k_reciprocal(query, descriptors, k1, k2, weight)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_k_reciprocal_by_hand():
    # The query and the first image are each other's nearest, and so are the
    # other two. Codes (1, e) and (e, 1): 1 - 2e/2.
    query, descriptors = _on_circle(0)[0], _on_circle(20, -25, -35)
    actual = k_reciprocal_distances(query, descriptors, KReciprocal(1, 1, 0.0))
    e = math.exp(math.cos(math.radians(20)) - 1)
    np.testing.assert_allclose(actual, [1 - e, 1, 1], atol=1e-6)


_FINAL = {
    "diffusion": RankingConfig(diffusion=Diffusion(4, 2, depth=12)),
    "k-reciprocal encoding": RankingConfig(
        k_reciprocal=KReciprocal(4, 2, depth=12)
    ),
}


@pytest.fixture
def data():
    """Six queries and 30 images; the last query and three have none."""
    rng = np.random.default_rng(0)
    descriptors, queries = _unit(rng, 30), _unit(rng, 6)
    descriptors[[2, 3, 29]] = queries[5] = 0
    # Equal images, in one list's top and in another's tail.
    descriptors[7] = descriptors[11] = descriptors[15]
    names = tuple(f"i{n}" for n in range(30))
    return MemoryIndex(names, descriptors), descriptors, queries


def _rank(data, config, num_results=None, **more):
    index, _, queries = data
    ranker = Ranker(index, config)
    names = [f"q{n}" for n in range(6)]
    return ranker.rank(names, queries, num_results, **more)


@pytest.mark.parametrize("name", list(_FINAL))
def test_lists_ordered_by_another_score(data, tmp_path, name):
    _, descriptors, queries = data
    plain, results = _rank(data, RankingConfig()), _rank(data, _FINAL[name])
    for row in range(5):
        top = plain.ranks[row, :12]
        if name == "diffusion":
            config = _FINAL[name].diffusion
            values = diffusion_scores(queries[row], descriptors[top], config)
            values = np.where(values > 0, values, -9)
        else:
            config = _FINAL[name].k_reciprocal
            values = -k_reciprocal_distances(
                queries[row], descriptors[top], config
            )
        expected = sorted(
            range(12), key=lambda i: (-values[i], -plain.similarities[row, i])
        )
        # Equal images have equal scores only up to rounding.
        np.testing.assert_array_equal(
            descriptors[results.ranks[row, :12]], descriptors[top[expected]]
        )
        assert results.ranks[row, -3:].tolist() == [2, 3, 29]
    np.testing.assert_array_equal(results.ranks[:, 12:], plain.ranks[:, 12:])
    np.testing.assert_array_equal(results.ranks[5], plain.ranks[5])
    # Cosines stay what they are, and each goes with its image.
    assert (results.ranks[:5] != plain.ranks[:5]).any()
    cosines = np.einsum("qkd,qd->qk", descriptors[results.ranks], queries)
    cosines[results.similarities == -1] = -1
    np.testing.assert_allclose(results.similarities, cosines, atol=1e-6)
    assert results.ranked_by == f"{name}, from cosine"
    assert (np.diff(results.scores, axis=1) <= 0).all()
    assert " score |" in ranked_table(results, 2)
    # Shorter lists are the first of the longer.
    short = _rank(data, _FINAL[name], 5)
    np.testing.assert_array_equal(short.ranks, results.ranks[:, :5])
    results.save(tmp_path / "results.npz")
    loaded = SearchResults.load(tmp_path / "results.npz")
    np.testing.assert_array_equal(loaded.scores, results.scores)
    assert loaded.ranked_by == results.ranked_by
    # What inliers have changed can be undone, back to this order.
    reranked = rerank(loaded, _Counts(), 10)
    assert (reranked.ranks != results.ranks).any()
    np.testing.assert_array_equal(
        reranked.without_reranking().ranks, results.ranks
    )


class _Counts:
    """Stands for InlierCounter: images of even number have inliers."""

    def count(self, pairs):
        numbers = np.array([int(image[1:]) for _, image in pairs])
        return np.where(numbers % 2, 0, 20 + numbers).astype(np.int32)


@pytest.mark.parametrize("min_inliers", [0, 20])
def test_methods_follow_each_other(data, min_inliers):
    _, descriptors, queries = data
    config = RankingConfig(
        QueryExpansion(2, 1.0, min_inliers), DatabaseAugmentation(3)
    )
    results = _rank(data, config, 8, counter=_Counts(), num_to_rerank=15)
    augmented = augment_descriptors(descriptors, 3)
    for row, query in enumerate(queries[:5]):
        order, cosines = _slow_search(query, augmented)
        found = list(zip(cosines, order))[:15]
        if min_inliers:
            even = [(c, i) for c, i in found if not i % 2]
            found = sorted(even, key=lambda pair: -pair[1])
        near = [(cosine, augmented[i]) for cosine, i in found[:2]]
        again, cosines = _slow_search(_slow_mean(query, near, 1.0), augmented)
        # Equal images are so only up to rounding once they are augmented.
        np.testing.assert_allclose(
            augmented[results.ranks[row]], augmented[again[:8]], atol=1e-6
        )
        np.testing.assert_allclose(
            results.similarities[row], cosines[:8], atol=1e-5
        )
    assert results.scores is None and results.inliers is None
    assert (
        results.ranked_by
        == "cosine with database augmentation and query expansion"
    )
    if min_inliers:
        with pytest.raises(InputError, match="needs geometric re-ranking"):
            _rank(data, config)


def test_nothing_asked_for_changes_nothing(data):
    plain = _rank(data, RankingConfig())
    zeros = RankingConfig(QueryExpansion(0), DatabaseAugmentation(0))
    for results in (plain, _rank(data, zeros)):
        hits = data[0].search(data[2], 30)
        ids, similarities = hits.ids, hits.similarities
        np.testing.assert_array_equal(results.ranks, ids)
        np.testing.assert_array_equal(results.similarities, similarities)
        assert results.ranked_by == "cosine"


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (QueryExpansion, {"images": -1}, "query_expansion_images must be at"),
        (QueryExpansion, {"alpha": math.nan}, "expansion_alpha .* is nan"),
        (DatabaseAugmentation, {"alpha": -1}, "augmentation_alpha must"),
        (Diffusion, {"damping": 1.0}, "at least 0 and below 1, but is 1"),
        (Diffusion, {"neighbours": 0}, "diffusion_neighbours must"),
        (KReciprocal, {"weight": 1.5}, "lambda must be from 0 to 1"),
        (KReciprocal, {"depth": 0}, "neighbourhood_depth must"),
        (
            RankingConfig,
            {"diffusion": Diffusion(), "k_reciprocal": KReciprocal()},
            "pass only one",
        ),
    ],
)
def test_bad_settings(kind, values, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(kind(), **values)
