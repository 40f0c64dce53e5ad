"""Compiled loops against NumPy, which does the same in another way."""

import subprocess
import sys

import faiss
import numpy as np
import pytest
from planted import planted

from delg_tf.matching import nearest
from delg_tf.matching.backends import make_verifier
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.kernels.hamming import nearest_words
from delg_tf.matching.kernels.neighbours import distances_to_rows, first_maxima


@pytest.mark.parametrize("width", [1, 5, 8, 16, 20])
def test_nearest_codes(width):
    rng = np.random.default_rng(width)
    # Few values: many ties.
    points = rng.integers(0, 4, (90, width), np.uint8)
    others = rng.integers(0, 4, (70, width), np.uint8)
    hamming, rows = nearest.nearest_codes(points, others, 1)
    differ = np.unpackbits(points[:, None] ^ others[None], axis=2).sum(axis=2)
    np.testing.assert_array_equal(rows[:, 0], differ.argmin(axis=1))
    np.testing.assert_array_equal(hamming[:, 0], differ.min(axis=1))
    # The first of two neighbours is the lone one.
    two, _ = nearest.nearest_codes(points, others, 2)
    np.testing.assert_array_equal(two[:, 0], hamming[:, 0])


def test_nearest_words_of_all_bits():
    rng = np.random.default_rng(0)
    points = rng.integers(0, 256, (50, 32), np.uint8)
    others = np.concatenate([~points[:20], points[20:40]])
    hamming, rows = nearest_words(
        points.view(np.uint64), np.ascontiguousarray(others.view(np.uint64).T)
    )
    expected, found = faiss.knn_hamming(points, others, 1, variant="hc")
    np.testing.assert_array_equal(hamming, expected[:, 0])
    np.testing.assert_array_equal(rows, found[:, 0])
    assert (hamming[20:40] == 0).all()


def test_first_maxima():
    rng = np.random.default_rng(1)
    products = rng.integers(-3, 3, (60, 41)).astype(np.float32) / 3
    products[0] = -np.inf
    products[1, 7:9] = np.inf
    products[2] = [0.0, *[-1.0] * 40]
    products[3] = -1e-42  # denormal
    halves = rng.integers(0, 2, 41).astype(np.float32)
    rows = np.empty(60, np.int64)
    first_maxima(products, halves, rows)
    np.testing.assert_array_equal(rows, (products - halves).argmax(axis=1))


def test_distances_to_rows():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(30, 13)).astype(np.float32)
    others = np.concatenate([points[:5], rng.normal(size=(9, 13))])
    others = others.astype(np.float32)
    rows = np.arange(30) % 14
    expected = np.linalg.norm(points.astype(float) - others[rows], axis=1)
    found = distances_to_rows(points, others, rows)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert (found[:5] == 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "similarity"},
        {"model": "homography", "iterations": 200},
        {"max_scale_change": None},
        {"allow_reflection": True, "seed": 7},
        {"max_scale_change": None, "allow_reflection": True},
        {"iterations": 1},
    ],
)
def test_numba_is_numpy_compiled(options):
    compiled = make_verifier(MatchingConfig(backend="numba", **options))
    reference = make_verifier(MatchingConfig(backend="numpy", **options))
    cases = [
        planted(count, share, 2.0, seed)[:2]
        for count, share, seed in (
            (300, 0.05, 1),
            (300, 0.5, 2),
            (40, 1.0, 3),
            (200, 0.0, 4),
            (12, 1.0, 5),
        )
    ]
    # Points on a line, all in one place, many twice.
    line = np.arange(20.0)[:, None] * [1.0, 2.0]
    cases += [(line, line + 3), (np.zeros((9, 2)), np.ones((9, 2)))]
    twice = np.repeat(cases[1][0], 2, axis=0)
    cases.append((twice, twice * 1.5))
    for case, (fast, slow) in enumerate(
        zip(compiled.estimate_all(cases), reference.estimate_all(cases))
    ):
        assert (fast.model is None) == (slow.model is None), case
        # Sums in another order may decide about a match at the threshold.
        assert (fast.inliers != slow.inliers).sum() <= 1, case
        if fast.model is not None and np.array_equal(
            fast.inliers, slow.inliers
        ):
            np.testing.assert_allclose(fast.model, slow.model, atol=1e-6)


def test_kernels_without_a_folder_for_machine_code(tmp_path):
    """Read-only installations in containers have none."""
    code = (
        "import numba.core.caching as caching\n"
        "def refuse(*args, **kwargs): raise RuntimeError('no locator')\n"
        "caching.FunctionCache.__init__ = refuse\n"
        "from delg_tf.matching.kernels.compiling import kernel\n"
        "@kernel()\n"
        "def double(value): return 2 * value\n"
        "print(double(21))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout == "42\n", done.stderr
