"""Data sets whose features are planted, so that no network runs."""

import json

import numpy as np
from planted import features, unit

from delg_tf.protocols.catalogue import open_data_set
from delg_tf.protocols.data_set import without_boxes
from delg_tf.protocols.extraction_settings import (
    ExtractionSettings,
    evaluation_config,
)
from delg_tf.protocols.feature_cache import DESCRIPTION, FeatureCache


def ids(*values):
    return np.array(values, np.int64)


def slow_average_precision(ranking, positives, junk):
    """By the protocol's words: junk goes out, then trapezoids."""
    kept = [image for image in ranking if image not in junk]
    area, found = 0.0, 0
    for place, image in enumerate(kept):
        if image in positives:
            before = found / place if place else 1.0
            found += 1
            area += (before + found / (place + 1)) / 2
    return 100 * area / len(positives)


def unused_model(folder):
    """Settings of a model that is never run: its features are planted."""
    model = folder / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"no model")
    return ExtractionSettings(evaluation_config(None, model))


def plant(options, descriptors, with_local=False, skipped=()):
    """Writes features where an extraction would have put them."""
    data = open_data_set(
        options.dataset, options.data_dir, allow_missing=options.allow_missing
    )
    settings = options.extraction
    if not with_local:
        settings = settings.without_local_features()
    if not options.crop_queries:
        data = without_boxes(data)
    cache = FeatureCache(options.cache, settings)
    rng = np.random.default_rng(0)
    for part in (data.queries, *data.index):
        place = cache.locate(part)
        is_query = part is data.queries
        with settings.open_sink(place.folder) as sink:
            for name in part.names:
                if name in skipped:
                    continue
                local = None
                if with_local:
                    local = features(
                        rng.uniform(0, 99, (9, 2)), unit(rng, 9, 8)
                    )
                sink.write(name, descriptors[is_query][name], local)
        (place.folder / DESCRIPTION).write_text(
            json.dumps(
                {
                    "content": place.content,
                    "finished": True,
                    "seconds": 1.0,
                    "skipped": [
                        [n, "damaged"] for n in part.names if n in skipped
                    ],
                }
            )
        )
    return data


def random_descriptors(query_names, index_names, seed=0):
    """Descriptors by name, of the index and of queries."""
    rng = np.random.default_rng(seed)
    return [
        dict(zip(names, unit(rng, len(names), 16).astype(np.float32)))
        for names in (index_names, query_names)
    ]


def rank(descriptors, query, index_names):
    index = np.array([descriptors[0][name] for name in index_names])
    return np.argsort(-(index @ descriptors[1][query]), kind="stable")


def touch_images(folder, names):
    for name in names:
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"never decoded")
