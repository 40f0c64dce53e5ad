"""Local features for tests of their formats."""

import numpy as np

from delg_tf.features.local_features import LocalFeatures


def unit_features(count, depth=128, seed=0, side=1000.0, oriented=False):
    """Random features with unit descriptors in an image of `side` pixels."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(count, depth))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return LocalFeatures(
        locations=rng.uniform(-8, side, (count, 2)),
        descriptors=descriptors,
        scales=rng.uniform(0.4, 6, count),
        attention=np.sort(rng.uniform(0, 500, count))[::-1],
        orientations=rng.uniform(-3, 3, count) if oriented else np.zeros(count),
    )
