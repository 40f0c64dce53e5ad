import numpy as np
import pytest
from extraction_inputs import write_pca

from delg_tf.common.errors import InputError
from delg_tf.extraction.post_processing import (
    aggregate_scales,
    load_pca,
    post_process,
)


def test_golden_aggregate():
    # Printed by the official `ExtractLocalAndGlobalDescriptors` arithmetic:
    # rows normalised, summed, normalised.
    found = aggregate_scales(np.float32([[3, 4], [0, 2], [1, 1]]), None)
    np.testing.assert_allclose(found, [0.462302, 0.886722], atol=1e-6)


@pytest.mark.parametrize("whitening", [False, True])
def test_pca_against_a_slow_derivation(tmp_path, whitening):
    parameters, arrays = write_pca(tmp_path)
    parameters.use_whitening = whitening
    descriptors = np.random.default_rng(4).normal(size=(6, 4))
    found = post_process(np.float32(descriptors), load_pca(parameters))
    assert found.dtype == np.float32
    for row, descriptor in zip(found, descriptors):
        unit = descriptor / np.sqrt(sum(x * x for x in descriptor))
        projected = []
        for k in range(3):
            component = sum(
                arrays["matrix"][k, d] * (unit[d] - arrays["mean"][d])
                for d in range(4)
            )
            if whitening:
                component /= np.sqrt(arrays["variances"][k])
            projected.append(component)
        norm = np.sqrt(sum(x * x for x in projected))
        np.testing.assert_allclose(row, np.divide(projected, norm), atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "arrays", "message"),
    [
        ({"pca_dim": None}, {}, "`pca_dim`"),
        ({"pca_dim": 5}, {}, "from 1 to 4"),
        ({"mean_path": "/nowhere/mean.datum"}, {}, "/nowhere/mean.datum"),
        ({}, {"matrix": np.eye(3)}, r"matrix\.datum"),
        (
            {"use_whitening": True, "pca_variances_path": None},
            {},
            "pca_variances_path",
        ),
        (
            {"use_whitening": True},
            {"variances": [1.0, 0.0, 1.0, 1.0]},
            "positive",
        ),
    ],
)
def test_bad_pca(tmp_path, parameters, arrays, message):
    pca, _ = write_pca(tmp_path, **arrays)
    for name, value in parameters.items():
        if value is None:
            pca.ClearField(name)
        else:
            setattr(pca, name, value)
    with pytest.raises(InputError, match=message):
        load_pca(pca)


def test_zero_descriptors_stay_finite():
    found = post_process(np.zeros((2, 3), np.float32), None)
    np.testing.assert_array_equal(found, np.zeros((2, 3)))
