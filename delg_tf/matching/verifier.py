"""Geometric verification: which putative matches agree on one motion."""

import abc
import dataclasses
from collections.abc import Sequence

import numpy as np

from delg_tf.matching import transform
from delg_tf.matching.config import MatchingConfig

Points = tuple[np.ndarray, np.ndarray]
# A model and its inliers.
Fitted = tuple[np.ndarray, np.ndarray] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Verification:
    """Result of a geometric verification of M putative matches.

    Attributes:
        num_inliers: matches that agree with the model; 0 without a model.
        inliers: [M] bool, which ones they are.
        model: [2, 3] float64, target = model @ [y, x, 1] in (y, x) order; a
            homography is [3, 3], whose third number divides the others; None
            where no model was found.
    """

    num_inliers: int
    inliers: np.ndarray
    model: np.ndarray | None

    @classmethod
    def none(cls, count: int) -> "Verification":
        """Returns that none of `count` matches is an inlier."""
        return cls(0, np.zeros(count, bool), None)


class Verifier(abc.ABC):
    """Finds the motion on which most matches agree.

    A subclass says how, in `_fit_all`. It must give the same result
    at each call for the same points and settings, in any order of calls.
    """

    def __init__(self, config: MatchingConfig):
        """Keeps the settings; a verifier has no other state."""
        self._config = config

    def estimate(self, source: np.ndarray, target: np.ndarray) -> Verification:
        """Verifies putative matches.

        Args:
            source: [M, 2] real, (y, x) in pixels of the index image.
            target: [M, 2] real, (y, x) in pixels of the query image; row m
                is the match of row m of `source`.

        Returns:
            The inliers, and the model from index to query.

        Raises:
            ValueError: a wrong shape, or a location that is not finite.
        """
        return self.estimate_all([(source, target)])[0]

    def estimate_all(self, pairs: Sequence[Points]) -> list[Verification]:
        """Does what `estimate` does, for several pairs of images at once.

        Args:
            pairs: (source, target) of each.

        Returns:
            The same as of each pair alone.

        Raises:
            ValueError: a wrong shape, or a location that is not finite.
        """
        pairs = [_checked(*pair) for pair in pairs]
        tried = [
            pair for pair in pairs if len(pair[0]) >= self._config.min_putatives
        ]
        fitted = iter(self._fit_all(tried))
        return [
            self._verification(
                source,
                next(fitted)
                if len(source) >= self._config.min_putatives
                else None,
            )
            for source, _ in pairs
        ]

    def _verification(self, source: np.ndarray, fitted: Fitted) -> Verification:
        if fitted is None:
            return Verification.none(len(source))
        model, inliers = fitted
        count = int(np.count_nonzero(inliers))
        if count == 0 or self._is_ambiguous(source[inliers]):
            return Verification.none(len(source))
        return Verification(count, inliers, model)

    def _is_ambiguous(self, points: np.ndarray) -> bool:
        """Whether inliers do not determine the model that they agree on."""
        config = self._config
        return (
            config.model != "similarity"
            and config.max_scale_change is not None
            and not transform.spans_a_plane(points)
        )

    @abc.abstractmethod
    def _fit_all(self, pairs: Sequence[Points]) -> list[Fitted]:
        """Fits a plausible model (see `transform.is_plausible`) to each pair.

        Args:
            pairs: source and target of each, [M, 2] float64, finite; M is
                `min_putatives` or more.

        Returns:
            The model, [2, 3] float64 (a homography: [3, 3], its inliers in
            front of the horizon), and the inliers [M] bool; or None.
        """


class OneByOneVerifier(Verifier):
    """A verifier that takes a pair at a time."""

    def _fit_all(self, pairs: Sequence[Points]) -> list[Fitted]:
        return [self._fit(source, target) for source, target in pairs]

    @abc.abstractmethod
    def _fit(self, source: np.ndarray, target: np.ndarray) -> Fitted:
        """Does what `_fit_all` does, for one pair."""


def _checked(source: np.ndarray, target: np.ndarray) -> Points:
    source = _as_points("source", source)
    target = _as_points("target", target)
    if source.shape != target.shape:
        raise ValueError(
            "`source` and `target` must have as many points. Received: "
            f"{source.shape} and {target.shape}."
        )
    return source, target


def _as_points(name: str, value: np.ndarray) -> np.ndarray:
    points = np.asarray(value, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"`{name}` must have the shape [M, 2]. Received: {points.shape}."
        )
    if not np.isfinite(points).all():
        raise ValueError(f"`{name}` must be finite. Received NaN or inf.")
    return points
