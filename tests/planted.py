"""Features and matches whose motion is known."""

import numpy as np

from delg_tf.features.local_features import LocalFeatures


def features(locations, descriptors):
    count = len(locations)
    return LocalFeatures(
        locations, descriptors, np.ones(count), np.ones(count), np.zeros(count)
    )


def unit(rng, count, depth):
    rows = rng.normal(size=(count, depth))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def planted(count, share, noise, seed, linear=((0.9, 0.4), (-0.3, 1.1))):
    """Index locations, query locations, which ones move as one, the model."""
    rng = np.random.default_rng(seed)
    model = np.column_stack([linear, rng.uniform(-100, 100, 2)])
    source = rng.uniform(0, 1000, (count, 2))
    target = rng.uniform(0, 1000, (count, 2))
    true = rng.permutation(count) < round(count * share)
    moved = source @ model[:, :2].T + model[:, 2]
    target[true] = (moved + rng.normal(0, noise, moved.shape))[true]
    return source, target, true, model


def two_images(count=60, seed=0):
    """Query and index features: query n is index feature n, moved."""
    rng = np.random.default_rng(seed)
    descriptors = unit(rng, count, 32)
    locations = rng.uniform(0, 400, (count, 2))
    index = features(locations, descriptors)
    query = features(locations * [0.5, 0.8] + [20, -10], descriptors)
    return query, index
