"""Learning a codebook by k-means, of local features from anywhere."""

import dataclasses
import hashlib
from collections.abc import Sequence

import faiss
import numpy as np
from absl import logging

from delg_tf.aggregation.codebook import Codebook
from delg_tf.common.errors import InputError
from delg_tf.common.files import readable
from delg_tf.common.progress import Progress
from delg_tf.features.storage.base import FeatureSource

# FAISS thins out and warns by itself beyond these; drawing is done before.
_ALL_POINTS = {
    "max_points_per_centroid": 1 << 30,
    "min_points_per_centroid": 1,
}


@dataclasses.dataclass(frozen=True)
class KMeansOptions:
    """Settings of the learning.

    Attributes:
        size: K, number of visual words.
        iterations: of Lloyd's algorithm; the official programs do 50.
        redo: runs from other starts, of which the best is kept.
        max_features: where there are more features, so many are drawn; they
            are what is held in memory, with 4 D bytes each.
        seed: of the drawing and of the starts.

    Raises:
        InputError: a value is out of range.
    """

    size: int
    iterations: int = 50
    redo: int = 1
    max_features: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("size", 1),
            ("iterations", 1),
            ("redo", 1),
            ("max_features", self.size),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise InputError(
                    f"{name} must be at least {least}, but is {value}."
                )


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSample:
    """Descriptors drawn from many images.

    Attributes:
        descriptors: float32 [S, D].
        num_images: images that were read.
        num_features: features that these have.
        identity: SHA-256 of the names and the descriptors of all of them.
        skipped: (name, reason) of damaged images.
    """

    descriptors: np.ndarray
    num_images: int
    num_features: int
    identity: str
    skipped: list[tuple[str, str]]


def learn_codebook(
    source: FeatureSource, names: Sequence[str], options: KMeansOptions
) -> tuple[Codebook, FeatureSample]:
    """Draws features and learns a codebook.

    The same features, options and FAISS give the same codebook.

    Args:
        source: local features.
        names: of the images to learn from.
        options: settings.

    Returns:
        The codebook, and the sample that it was learnt from.

    Raises:
        InputError: there are fewer features than words, or they differ in
            their depth.
    """
    sample = draw_features(source, names, options.max_features, options.seed)
    words, error = k_means(sample.descriptors, options)
    origin = {
        "features": str(source.path),
        "images": sample.num_images,
        "features_in_images": sample.num_features,
        "features_drawn": len(sample.descriptors),
        "features_sha256": sample.identity,
        "mean_squared_error": error,
        "faiss": faiss.__version__,
        **dataclasses.asdict(options),
    }
    return Codebook(words, origin), sample


def draw_features(
    source: FeatureSource, names: Sequence[str], limit: int, seed: int = 0
) -> FeatureSample:
    """Draws descriptors, each as likely as any other, in one pass.

    Source: Vitter, "Random sampling with a reservoir", 1985, algorithm R.

    Args:
        source: local features.
        names: of the images.
        limit: descriptors that are kept at most.
        seed: of the drawing.

    Returns:
        The sample; images that cannot be read are skipped and logged.

    Raises:
        InputError: descriptors differ in their depth, or there are none.
    """
    reservoir = _Reservoir(limit, seed)
    digest, skipped = hashlib.sha256(), []
    with Progress(len(names), "Drawing features", "image") as progress:
        for name in names:
            progress.advance()
            try:
                rows = source.read_local(name).descriptors
            except InputError as error:
                logging.warning("Skipped %s: %s", readable(name), error)
                skipped.append((name, str(error)))
                continue
            digest.update(f"{name}\0{len(rows)}\0".encode("utf-8", "replace"))
            digest.update(np.ascontiguousarray(rows))
            if len(rows):
                reservoir.add(name, rows)
    if not reservoir.seen:
        raise InputError(
            f"The {len(names)} images of {source.path} have no local features "
            "that can be read."
        )
    return FeatureSample(
        reservoir.rows(),
        len(names) - len(skipped),
        reservoir.seen,
        digest.hexdigest(),
        skipped,
    )


def k_means(
    descriptors: np.ndarray, options: KMeansOptions
) -> tuple[np.ndarray, float]:
    """Clusters descriptors by Euclidean distance.

    Args:
        descriptors: float32 [S, D].
        options: settings; `max_features` has no effect here.

    Returns:
        float32 [K, D] centres, and the mean squared distance to the nearest
        centre, before the last move of the centres.

    Raises:
        InputError: there are fewer descriptors than words.
    """
    if len(descriptors) < options.size:
        raise InputError(
            f"There are {len(descriptors)} features, but a codebook of "
            f"{options.size} words needs at least as many. Extract more "
            "images, or learn fewer words."
        )
    best, best_error = None, np.inf
    steps = options.redo * options.iterations
    with Progress(steps, "K-means", "iteration") as progress:
        for run in range(options.redo):
            centres, error = None, np.inf
            # One iteration a call shows progress; the result is that of one
            # call, as FAISS carries nothing over but the centres.
            for _ in range(options.iterations):
                step = faiss.Kmeans(
                    descriptors.shape[1],
                    options.size,
                    niter=1,
                    seed=options.seed + run,
                    **_ALL_POINTS,
                )
                step.train(descriptors, init_centroids=centres)
                centres = step.centroids
                error = float(step.obj[-1]) / len(descriptors)
                progress.advance(note=f"error {error:.6g}")
            if error < best_error:
                best, best_error = centres, error
    return best, best_error


class _Reservoir:
    """At most `limit` rows of a stream, each as likely as any other."""

    def __init__(self, limit: int, seed: int):
        self.seen = 0
        self._limit = limit
        self._rng = np.random.default_rng(seed)
        self._kept = np.empty((0, 0), np.float32)

    def add(self, name: str, rows: np.ndarray) -> None:
        """Takes the [n, D] descriptors of an image, n at least 1."""
        if not self.seen:
            # Memory that is never written to is never taken.
            self._kept = np.empty((self._limit, rows.shape[1]), np.float32)
        if rows.shape[1] != self._kept.shape[1]:
            raise InputError(
                f"{readable(name)} has descriptors of {rows.shape[1]} numbers, "
                f"others have {self._kept.shape[1]}. Extract all with the same "
                "model."
            )
        fitting = rows[: max(0, self._limit - self.seen)]
        self._kept[self.seen : self.seen + len(fitting)] = fitting
        late = rows[len(fitting) :]
        ends = self.seen + len(fitting) + 1 + np.arange(len(late))
        # Row i of the stream takes the place of a kept one with the chance
        # limit / (i + 1); of those that take one place the last stays.
        places = self._rng.integers(0, ends) if len(late) else ends
        for row in np.flatnonzero(places < self._limit):
            self._kept[places[row]] = late[row]
        self.seen += len(rows)

    def rows(self) -> np.ndarray:
        """Returns the [S, D] rows that were kept."""
        return self._kept[: self.seen]
