import dataclasses
import fractions

import numpy as np
import pytest

from delg_tf.features.local_features import LocalFeatures
from delg_tf.report import pictures
from delg_tf.report.attention_map import attention_map
from delg_tf.report.recall_curves import (
    mean_precision_at_recall,
    precision_at_recall,
)
from delg_tf.report.selection import ChosenQuery, choose_queries


def test_choice_of_queries():
    nan = float("nan")
    before = [10, 10, 90, 95, 60, 20, nan, 30]
    after = [80, 90, 95, 99, 40, 5, nan, 30.5]
    # The queries 0 and 1 show one landmark.
    landmarks = [0, 0, 2, 3, 4, 5, 6, 7]

    def choose(count):
        chosen = choose_queries(before, after, landmarks, count)
        return [(choice.place, choice.kind) for choice in chosen]

    # The lowest AP first; the kinds take turns.
    assert choose(4) == [
        (5, "failed"), (7, "failed"), (4, "hurt"), (1, "helped"),
    ]  # fmt: skip
    # 0 comes last, as its landmark is shown; 6 has no right image.
    assert [place for place, _ in choose(6)] == [5, 7, 4, 1, 2, 3]
    assert sorted(choose(99)) == [
        (0, "helped"), (1, "helped"), (2, "helped"), (3, "works"),
        (4, "hurt"), (5, "failed"), (7, "failed"),
    ]  # fmt: skip
    assert choose(0) == []
    # Without re-ranking what is neither failure nor among the best comes too.
    same = [60, 70, 80, 90]
    assert choose_queries(same, same, range(4), 2) == [
        ChosenQuery(2, "works"), ChosenQuery(3, "works"),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_precision_at_recall_is_the_best_from_there_on(seed):
    rng = np.random.default_rng(seed)
    num_right = int(rng.integers(1, 8))
    found = int(rng.integers(0, num_right + 1))
    ranks = np.sort(rng.choice(30, found, replace=False))
    levels = [0, 0.1, 0.3, 1 / 3, 0.5, 0.7, 1]
    expected = []
    for level in levels:
        best = fractions.Fraction(0)
        for length in range(1, 31):
            hits = sum(rank < length for rank in ranks.tolist())
            if hits and hits >= level * num_right - 1e-12:
                best = max(best, fractions.Fraction(hits, length))
        expected.append(float(best))
    curve = precision_at_recall(ranks, num_right, np.array(levels))
    np.testing.assert_allclose(curve, expected, atol=1e-12)


def test_mean_curve_leaves_out_queries_without_right_images():
    nothing = precision_at_recall(np.zeros(0, int), 0)
    assert np.isnan(nothing).all()
    first = precision_at_recall(np.array([0]), 1)
    second = precision_at_recall(np.array([1]), 1)
    mean = mean_precision_at_recall([nothing, first, second])
    np.testing.assert_array_equal(mean, np.full(101, 0.75))
    assert not len(mean_precision_at_recall([nothing]))
    with pytest.raises(ValueError, match="num_right"):
        precision_at_recall(np.arange(3), 2)


def _grid(scale, left, right, score):
    """A full level of features, spaced 16 x scale over columns."""
    step = 16 * scale
    y, x = np.mgrid[0:512:step, left:right:step]
    locations = np.stack([y.ravel(), x.ravel()], axis=1) + (step - 1) / 2
    count = len(locations)
    return LocalFeatures(
        locations=locations,
        descriptors=np.zeros((count, 1)),
        scales=np.full(count, scale),
        attention=np.full(count, score),
        orientations=np.zeros(count),
    )


def _joined(*parts):
    return LocalFeatures(
        **{
            field.name: np.concatenate([getattr(p, field.name) for p in parts])
            for field in dataclasses.fields(LocalFeatures)
        }
    )


def test_attention_map_shows_scores_at_every_scale():
    # Constant scores give a level surface, as high for coarse features as
    # for fine ones; half the score is half as high.
    features = _joined(
        _grid(1.0, 0, 256, 4.0),
        _grid(2.0, 256, 512, 4.0),
        _grid(0.5, 512, 768, 2.0),
    )
    heat = attention_map(features, (512, 768), 384)
    assert heat.shape == (256, 384) and heat.max() == 1
    inner = slice(40, -40)
    fine, coarse, weak = (
        heat[inner, 40:88], heat[inner, 168:216], heat[inner, 296:344],
    )  # fmt: skip
    assert abs(fine.mean() / coarse.mean() - 1) < 0.02
    assert abs(weak.mean() / fine.mean() - 0.5) < 0.02
    for surface in (fine, coarse, weak):
        assert np.ptp(surface) < 0.15 * surface.mean()


def test_attention_map_of_one_feature_and_of_none():
    one = LocalFeatures([[30, 99]], [[0.0]], [0.5], [5.0], [0.0])
    heat = attention_map(one, (100, 200), 800)
    y, x = np.mgrid[0:400, 0:800]
    # Pixel centres: 4 * (30 + 0.5) - 0.5, to the nearest pixel.
    assert abs(np.average(y, weights=heat) - 121.5) < 0.6
    assert abs(np.average(x, weights=heat) - 397.5) < 0.6
    assert not attention_map(LocalFeatures.empty(), (100, 200), 400).any()


def test_box_is_drawn_where_extraction_crops():
    pixels = np.full((40, 60, 3), 200, np.uint8)
    drawn = pictures.draw_box(pixels, (10.4, -5.0, 30.6, 20.0))
    # Columns 10 to 30, rows 0 to 19, within a line of one pixel.
    np.testing.assert_array_equal(drawn[1:19, 11:30], 200)
    outside = np.ones((40, 60), bool)
    outside[:20, 10:31] = False
    np.testing.assert_array_equal(drawn[outside], 110)
    for edge in (drawn[0, 10:31], drawn[19, 10:31], drawn[:20, 10]):
        assert (edge == pictures._BOX_COLOR).all()
    assert (pixels == 200).all()
