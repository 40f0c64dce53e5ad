"""Pictures of matches and of keypoints."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from planted import features, two_images, unit

from delg_tf.common.errors import InputError
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching import drawing
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_local_features


def test_picture_of_matches(tmp_path):
    rng = np.random.default_rng(0)
    gray = np.full((100, 80, 3), 128, np.uint8)
    query = features([[20, 30], [70, 30]], unit(rng, 2, 4))
    index = features([[50, 40], [10, 70]], unit(rng, 2, 4))
    plain = match_local_features(query, LocalFeatures.empty(), MatchingConfig())
    match = dataclasses.replace(
        plain,
        putative=np.array([[0, 0], [1, 1]], np.int32),
        inliers=np.array([True, False]),
        num_inliers=1,
    )
    path = tmp_path / "new" / "match.png"
    options = {"height": 200, "show_outliers": False}
    picture = drawing.draw_matches(
        gray, gray, query, index, match, path, **options
    )
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (160 + 160 + 8, 3)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    body = picture[-200:]
    background = np.full_like(body, 128)
    background[:, 160:168] = 255
    changed = (body != background).any(axis=2)
    rows, columns = np.nonzero(changed)
    # The line goes from (40, 60) to (100, 168 + 80), with round ends.
    assert abs(columns.min() - 60) < 6 and abs(columns.max() - 248) < 6
    line = 40 + (columns - 60) * 60 / 188
    assert np.abs(rows - line).max() < 6 and len(rows) > 188
    # Faint lines only where they are asked for.
    faint = drawing.draw_matches(gray, gray, query, index, match, height=200)
    assert (faint != picture).any()


def test_picture_of_attention(tmp_path):
    gray = np.full((50, 80, 3), 128, np.uint8)
    points = LocalFeatures(
        [[10, 20], [40, 60]], np.ones((2, 1)), [1, 1], [5, 9], [0, 0]
    )
    picture = drawing.draw_attention(gray, points, height=100)[-100:, :160]
    rows, columns = np.nonzero((picture != 128).any(axis=2))
    left = columns < 80
    for half, centre in ((left, (20, 40)), (~left, (80, 120))):
        assert abs(rows[half].mean() - centre[0] - 0.5) < 0.3
        assert abs(columns[half].mean() - centre[1] - 0.5) < 0.3
    # A high score is bright, a low one dark.
    assert picture[80, 120].sum() > picture[20, 40].sum() + 200
    empty = drawing.draw_attention(gray, LocalFeatures.empty(), height=100)
    assert (empty[-100:, :160] == 128).all()


@pytest.mark.parametrize("size", [(1, 1), (20, 20000), (20000, 20)])
def test_pictures_of_extreme_images(size):
    image = np.full((*size, 3), 128, np.uint8)
    query, index = two_images()
    match = match_local_features(query, index, MatchingConfig())
    picture = drawing.draw_matches(image, image, query, index, match, height=96)
    # At most eight times as wide as high, at least an eighth.
    width = 96 * np.clip(size[1] / size[0], 1 / 8, 8)
    assert picture.shape == (96 + 36, 2 * width + 8, 3)
    picture = drawing.draw_attention(image, LocalFeatures.empty())
    assert picture.shape[0] == 480 + 36


def test_wrong_pictures(tmp_path):
    query, index = two_images()
    match = match_local_features(query, index, MatchingConfig())
    good = np.zeros((20, 20, 3), np.uint8)
    path = tmp_path / "a.txt"
    with pytest.raises(InputError, match=r"a\.txt must end"):
        drawing.draw_matches(good, good, query, index, match, path)
    with pytest.raises(ValueError, match="query_image"):
        drawing.draw_matches(good[..., 0], good, query, index, match)
    with pytest.raises(ValueError, match="`image`"):
        drawing.draw_attention(good / 255, query, path.with_suffix(".png"))
    assert not list(tmp_path.iterdir())
