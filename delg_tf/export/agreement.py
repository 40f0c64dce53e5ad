"""How far the outputs of an exported file are from the reference."""

import dataclasses

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.export.metadata import ExportMetadata
from delg_tf.export.reference import Cells, Expected


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """What is allowed.

    Attributes:
        difference: largest one, as a share of the largest value.
        cosine: least mean of the descriptors' cosines.
    """

    difference: float
    cosine: float


TOLERANCES = {
    # GPUs multiply with fewer bits (TF32) than what is compared with them.
    "float32": Tolerance(1e-2, 0.9999),
    "float16": Tolerance(5e-2, 0.999),
    # Of eight bits, only the direction is asked for.
    "int8": Tolerance(np.inf, 0.9),
}


class Agreement:
    """Collects comparisons of one file with the reference.

    Args:
        name: of the file, for messages.
        precision: a key of `TOLERANCES`.
    """

    def __init__(self, name: str, precision: str):
        self.name = name
        self._tolerance = TOLERANCES[precision]
        self.differences: dict[str, float] = {}
        self._cosines: dict[str, list[np.ndarray]] = {}

    @property
    def largest(self) -> float:
        """The largest difference of any output."""
        return max(self.differences.values(), default=0.0)

    @property
    def cosines(self) -> dict[str, float]:
        """Mean cosine by kind of descriptor."""
        return {
            name: float(np.concatenate(values).mean())
            for name, values in self._cosines.items()
        }

    def values(
        self, output: str, found: np.ndarray, expected: np.ndarray
    ) -> None:
        """Adds values, in proportion to the largest of `expected`.

        Raises:
            InputError: the shapes differ, or values are not finite.
        """
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise InputError(
                f"{self.name}: {output} has the shape {found.shape} (expected: "
                f"{expected.shape}), or is not finite."
            )
        if expected.size:
            scale = max(float(np.abs(expected).max()), 1e-6)
            difference = float(np.abs(found - expected).max()) / scale
            known = self.differences.get(output, 0.0)
            self.differences[output] = max(known, difference)

    def descriptors(
        self, output: str, found: np.ndarray, expected: np.ndarray
    ) -> None:
        """Adds rows of descriptors; both their values and their cosines."""
        self.values(output, found, expected)
        products = (unit(found) * unit(expected)).sum(axis=-1)
        is_zero = np.abs(expected).max(axis=-1, initial=0) == 0
        cosines = np.where(is_zero, 1.0, products).ravel()
        self._cosines.setdefault(output, []).append(cosines)

    def check(self) -> None:
        """Compares with the tolerance.

        Raises:
            InputError: it is exceeded.
        """
        worst = min(self.cosines.values(), default=1.0)
        if (
            self.largest > self._tolerance.difference
            or worst < self._tolerance.cosine
        ):
            raise InputError(
                f"{self} This is more than {self._tolerance} allows: the file "
                "does not compute what the network does, and is not kept."
            )

    def __str__(self) -> str:
        names = {"global_descriptors": "global", "descriptors": "local"}
        cosines = ", ".join(
            f"{names[name]} {value:.6f}" for name, value in self.cosines.items()
        )
        return (
            f"{self.name}: largest difference {self.largest:.1e}; mean cosine "
            f"of descriptors: {cosines}."
        )


def compare_features(
    agreement: Agreement,
    found: dict[str, np.ndarray],
    expected: Expected,
    metadata: ExportMetadata,
    is_unit: bool,
) -> None:
    """Compares the local features of an image with the cells they are.

    Args:
        agreement: takes the differences.
        found: `locations` `[N, 2]`, `descriptors` `[N, D]`, `scales` and
            `scores` `[N]`.
        expected: what the network says.
        metadata: of the export.
        is_unit: whether the descriptors found have unit length.

    Raises:
        InputError: a feature lies where there is no cell, or twice.
    """
    steps = 1 / np.float32(metadata.scales)
    levels = np.abs(found["scales"][:, np.newaxis] - steps).argmin(axis=1)
    rows = np.full(len(levels), -1)
    for level in np.unique(levels):
        mine = np.flatnonzero(levels == level)
        rows[mine] = _nearest(
            found["locations"][mine], expected.cells[level].locations
        )
    if len(set(zip(levels.tolist(), rows.tolist()))) < len(rows):
        raise InputError(f"{agreement.name}: a local feature is there twice.")

    def at_cells(field: str) -> np.ndarray:
        values = [
            getattr(expected.cells[level], field)[row]
            for level, row in zip(levels, rows)
        ]
        like = getattr(expected.cells[0], field)
        return np.array(values, np.float32).reshape(-1, *like.shape[1:])

    descriptors = at_cells("descriptors")
    agreement.descriptors(
        "descriptors",
        found["descriptors"],
        unit(descriptors) if is_unit else descriptors,
    )
    agreement.values("locations", found["locations"], at_cells("locations"))
    agreement.values("scores", found["scores"], at_cells("scores"))


def compare_selection(
    agreement: Agreement,
    scores: np.ndarray,
    cells: list[Cells],
    number: int,
    threshold: float,
) -> None:
    """Compares the scores of what was selected with the best there are.

    Features with equal scores may replace one another, and one whose score is
    the threshold may be missing.

    Args:
        agreement: takes the difference.
        scores: float32 `[N]`, falling.
        cells: of all scales.
        number: of features, at most.
        threshold: least score.
    """
    best = np.sort(np.concatenate([level.scores for level in cells]))[::-1]
    best = best[best >= threshold][:number]
    length = max(len(best), len(scores))
    filled = [
        np.append(values, np.full(length - len(values), threshold))
        for values in (scores, best)
    ]
    agreement.values("selection", *filled)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length; those of zeros stay."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.maximum(norms, 1e-12)


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each point, the nearest of the others."""
    distances = ((points[:, np.newaxis] - others) ** 2).sum(axis=-1)
    return distances.argmin(axis=1)
