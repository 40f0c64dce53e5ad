"""How far a faster way of extraction is from float32."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.extraction.extractor import (
    Extractor,
    ImageFeatures,
    PreparedImage,
)
from delg_tf.features.local_features import LocalFeatures


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """Agreement with the reference, means over images.

    Attributes:
        global_cosine: of the global descriptors; NaN without.
        local_cosine: of the descriptors of features that both selected; NaN
            without.
        local_overlap: share of the reference's features that were selected.
        images: compared.
    """

    global_cosine: float
    local_cosine: float
    local_overlap: float
    images: int


def compare(
    reference: Extractor, other: Extractor, images: Sequence[PreparedImage]
) -> Fidelity:
    """Extracts images in two ways.

    Args:
        reference: in float32.
        other: what is judged, with the same configuration.
        images: of any sizes.
    """
    rows = []
    for image in images:
        [expected] = reference.extract_batch([image])
        [found] = other.extract_batch([image])
        rows.append(_agreement(expected, found))
    means = (_mean(column) for column in zip(*rows))
    return Fidelity(*means, images=len(rows))


def _agreement(
    expected: ImageFeatures, found: ImageFeatures
) -> tuple[float, float, float]:
    global_cosine = local_cosine = overlap = float("nan")
    if expected.global_descriptor is not None:
        global_cosine = float(
            expected.global_descriptor @ found.global_descriptor
        )
    if expected.local is not None and len(expected.local):
        mine, its = _common(expected.local, found.local)
        overlap = len(mine) / len(expected.local)
        products = (
            expected.local.descriptors[mine] * found.local.descriptors[its]
        ).sum(axis=1)
        local_cosine = float(products.mean()) if len(mine) else float("nan")
    return global_cosine, local_cosine, overlap


def _common(
    a: LocalFeatures, b: LocalFeatures
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the features at one place and scale in both."""

    def keys(features: LocalFeatures) -> np.ndarray:
        # A level's cells are pixels apart.
        columns = [features.locations, features.scales[:, np.newaxis]]
        return np.round(np.hstack(columns), 2).astype(np.float64) @ (
            1.0,
            1e5,
            1e10,
        )

    _, mine, its = np.intersect1d(keys(a), keys(b), return_indices=True)
    return mine, its


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
