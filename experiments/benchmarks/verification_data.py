"""Images for the benchmark of verification: local features alone.

A query has `FEATURES` features, and so has each of its candidates. Descriptors
belong to visual words: two features of one word match though they show
different things, as happens between any two images, more so of one place.
Some candidates show what the query shows: a share of the putative matches is
true, and moves as one.

Words and angles are set so that as many query features have a putative match as
in the demonstration's held-out landmarks (DELG features, distance 1.0, binary
1.15). There they are 58 % in unrelated pairs (binary: 69 %), 87 % (93 %) in
Hard and 97 % (99 %) in Easy ones, on average. Here they are 58 % (68 %) and, of
related pairs, 87 % (85 %).
"""

import dataclasses

import numpy as np

from delg_tf.features.local_features import LocalFeatures

FEATURES = 1000
DEPTH = 128
# True matches, as a share of the putative ones.
SHARES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.35, 0.5)
_SIDE = 1024.0
_WORDS = 500
# Cosines between features of one word, and between two views of one thing.
_WORD_COSINE = 0.46
_VIEW_COSINE = 0.78
# With a direction that all descriptors have in common.
_COMMON_COSINE = 0.25
# Share of a related image's features that have words of the query, and their
# cosine with their word.
_OF_ITS_WORDS = 0.8
_RELATED_COSINE = 0.8
# Share of a related image's putative matches by its words alone.
_BY_CHANCE = 0.87
_NOISE = 3.0
_SCALES = 2.0 ** np.arange(-1, 2.5, 0.5)


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """An image that a query is verified with.

    Attributes:
        name: of the image.
        share: of true matches among putative ones; 0: an unrelated image.
        features: its features.
        true: [K, 2], (query feature, index feature) that are one thing.
    """

    name: str
    share: float
    features: LocalFeatures
    true: np.ndarray


def make_query(
    seed: int, candidates: int
) -> tuple[LocalFeatures, list[Candidate]]:
    """Returns a query's features and its candidates.

    Two of five candidates are related, with each of `SHARES` in turn.
    """
    fixed = np.random.default_rng(0)
    words = _Words(
        _unit(fixed.normal(size=(_WORDS, DEPTH))),
        _unit(fixed.normal(size=(1, DEPTH))),
    )
    rng = np.random.default_rng([1, seed])
    of_query = rng.integers(0, _WORDS, FEATURES)
    query = _features(rng, words.near(rng, of_query, _WORD_COSINE**0.5))
    made = []
    for number in range(candidates):
        share = 0.0
        if number % 5 < 2:
            share = SHARES[(number // 5 * 2 + number % 5) % len(SHARES)]
        of_this = rng.integers(0, _WORDS, FEATURES)
        cosine, true = _WORD_COSINE**0.5, np.zeros((0, 2), int)
        if share:
            same = rng.random(FEATURES) < _OF_ITS_WORDS
            of_this = np.where(same, rng.choice(of_query, FEATURES), of_this)
            cosine = _RELATED_COSINE
        features = _features(rng, words.near(rng, of_this, cosine))
        if share:
            features, true = _related(rng, query, features, share)
        made.append(Candidate(f"q{seed}_c{number:03d}", share, features, true))
    return query, made


@dataclasses.dataclass(frozen=True, eq=False)
class _Words:
    """Unit vectors [_WORDS, DEPTH], and what all descriptors share."""

    vectors: np.ndarray
    common: np.ndarray

    def near(
        self, rng: np.random.Generator, words: np.ndarray, cosine: float
    ) -> np.ndarray:
        """Returns descriptors of some words."""
        own = _near(rng, self.vectors[words], cosine)
        rest = (1 - _COMMON_COSINE**2) ** 0.5
        return _unit(rest * own + _COMMON_COSINE * self.common)


def _features(
    rng: np.random.Generator, descriptors: np.ndarray
) -> LocalFeatures:
    return LocalFeatures(
        locations=rng.uniform(0, _SIDE, (FEATURES, 2)),
        descriptors=descriptors,
        scales=rng.choice(_SCALES, FEATURES),
        attention=rng.uniform(50, 200, FEATURES),
        orientations=np.zeros(FEATURES),
    )


def _related(
    rng: np.random.Generator,
    query: LocalFeatures,
    other: LocalFeatures,
    share: float,
) -> tuple[LocalFeatures, np.ndarray]:
    """Puts things of the query into another image."""
    # share = true / (true + by chance), of those that are not true.
    count = round(
        FEATURES * _BY_CHANCE * share / (1 - share + _BY_CHANCE * share)
    )
    pairs = np.stack(
        [
            rng.permutation(FEATURES)[:count],
            rng.permutation(FEATURES)[:count],
        ],
        axis=1,
    )
    linear, shift = _motion(rng)
    noise = rng.normal(0, _NOISE, (count, 2))
    locations, descriptors = other.locations.copy(), other.descriptors.copy()
    moved = query.locations[pairs[:, 0]] @ linear.T + shift
    locations[pairs[:, 1]] = moved + noise
    descriptors[pairs[:, 1]] = _near(
        rng, query.descriptors[pairs[:, 0]], _VIEW_COSINE
    )
    return dataclasses.replace(
        other, locations=locations, descriptors=descriptors
    ), pairs


def _motion(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns a view of a facade: some roll, size, obliqueness, shift."""
    angle = np.deg2rad(rng.uniform(-20, 20))
    size, aspect = 2 ** rng.uniform(-0.7, 0.7), 2 ** rng.uniform(-0.4, 0.4)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    linear = size * turn @ [[aspect, rng.uniform(-0.25, 0.25)], [0, 1 / aspect]]
    centre = np.full(2, _SIDE / 2)
    return linear, centre - linear @ centre + rng.uniform(-150, 150, 2)


def _near(
    rng: np.random.Generator, rows: np.ndarray, cosine: float
) -> np.ndarray:
    """Returns unit vectors at about an angle from unit vectors."""
    noise = _unit(rng.normal(size=rows.shape))
    return _unit(cosine * rows + (1 - cosine**2) ** 0.5 * noise)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
