"""A made data set in the shape of Revisited Oxford with a million distractors.

70 queries of 11 landmarks, 4,993 images with Easy, Hard and junk labels, and
descriptors as a network would give them: all have a direction in common, and
those of a landmark another, the more the better they show it. Of distractors
one in a thousand resembles a landmark. Hard images are so weak that thousands
of distractors come before them: places far down a ranking must be right.
"""

import dataclasses
import functools

import numpy as np
from verification_data import Candidate, make_query

from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery
from delg_tf.features.local_features import LocalFeatures

CHUNK = 16384
_LANDMARKS, _IMAGES_A_LANDMARK = 11, 200
# Least share of a landmark's direction in an easy and in a hard image.
_EASY, _HARD = 0.2, 0.08
# Images of a landmark that a query's labels do not name.
_UNLABELLED = 0.05
_RESEMBLE = 1e-3
# Different sets of local features, and images of each.
_SCENES, _VIEWS = 4, 100


@dataclasses.dataclass(frozen=True)
class Size:
    """How large the data set is.

    Attributes:
        rows: distractors.
        dimension: of descriptors.
        queries: number of queries.
        images: images of the ground truth.
        seed: of everything.
    """

    rows: int
    dimension: int
    queries: int = 70
    images: int = 4993
    seed: int = 0


class Data:
    """Descriptors, labels and local features; the same for the same size."""

    def __init__(self, size: Size):
        self.size = size
        rng = np.random.default_rng([size.seed, 0])
        shape = (_LANDMARKS + 1, size.dimension)
        *landmarks, self._common = _unit(rng.standard_normal(shape, np.float32))
        self._landmarks = np.stack(landmarks)
        self.query_names = tuple(f"query{i:03d}" for i in range(size.queries))
        of_query = np.arange(size.queries) % _LANDMARKS
        self.queries = self._draw(rng, of_query, np.ones(size.queries))
        self._landmark = np.minimum(
            np.arange(size.images) // _IMAGES_A_LANDMARK, _LANDMARKS
        )
        shown = self._landmark < _LANDMARKS
        self._strength = shown * (0.02 + 0.6 * rng.random(size.images) ** 2)
        self.images = self._draw(
            rng, self._landmark % _LANDMARKS, self._strength
        )
        self.image_names = tuple(f"image{i:05d}" for i in range(size.images))
        self.truth = RevisitedGroundTruth(
            self.query_names,
            self.image_names,
            [self._labels(rng, landmark) for landmark in of_query],
        )

    def distractor_names(self, rows: int) -> tuple[str, ...]:
        """Returns the names of the first distractors."""
        return tuple(f"distractor{i:07d}" for i in range(rows))

    def chunk(self, number: int) -> np.ndarray:
        """Returns float32 [`CHUNK` or less, D], descriptors of distractors."""
        count = min(CHUNK, self.size.rows - number * CHUNK)
        rng = np.random.default_rng([self.size.seed, 1, number])
        like = rng.integers(_LANDMARKS, size=count)
        strength = 0.5 * rng.random(count) * (rng.random(count) < _RESEMBLE)
        return self._draw(rng, like, strength)

    def query_features(self, query: int) -> LocalFeatures:
        """Returns a query's 1,000 local features."""
        return _scene(query % _LANDMARKS % _SCENES)[0]

    def image_features(self, name: str) -> LocalFeatures:
        """Returns the 1,000 local features of an image or distractor."""
        number = int(name.lstrip("imagedstrco"))
        landmark, related = number % _LANDMARKS, False
        if name.startswith("image"):
            landmark = int(self._landmark[number])
            related = self._strength[number] >= _HARD
        views = [
            view
            for view in _scene(landmark % _SCENES)[1]
            if (view.share > 0) == related
        ]
        return views[number % len(views)].features

    def _draw(
        self, rng: np.random.Generator, like: np.ndarray, strength: np.ndarray
    ) -> np.ndarray:
        shape = (len(like), self.size.dimension)
        values = rng.standard_normal(shape, np.float32)
        values /= np.float32(self.size.dimension**0.5)
        values += 0.5 * self._common
        some = np.flatnonzero(strength)
        values[some] += (
            strength[some, None].astype(np.float32)
            * self._landmarks[like[some]]
        )
        return _unit(values)

    def _labels(
        self, rng: np.random.Generator, landmark: int
    ) -> RevisitedQuery:
        strength = np.where(self._landmark == landmark, self._strength, 0)
        strength *= rng.random(len(strength)) >= _UNLABELLED
        return RevisitedQuery(
            easy=np.flatnonzero(strength >= _EASY),
            hard=np.flatnonzero((strength >= _HARD) & (strength < _EASY)),
            junk=np.flatnonzero((strength > 0) & (strength < _HARD)),
        )


@functools.lru_cache(maxsize=_SCENES)
def _scene(number: int) -> tuple[LocalFeatures, list[Candidate]]:
    return make_query(number, _VIEWS)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
