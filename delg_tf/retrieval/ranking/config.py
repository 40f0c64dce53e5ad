"""Which of the optional methods rank, and their parameters."""

import dataclasses
import math

from delg_tf.common.errors import InputError


def _require(
    name: str, value: float, least: float, below: float = math.inf
) -> None:
    """Raises InputError unless least <= value < below (so for a NaN too)."""
    if not least <= value < below:
        limit = f" and below {below:g}" if below < math.inf else ""
        raise InputError(
            f"{name} must be at least {least:g}{limit}, but is {value:g}."
        )


@dataclasses.dataclass(frozen=True)
class QueryExpansion:
    """Settings of `query_expansion`.

    Attributes:
        images: of each list that join the query, n; 0 changes nothing.
        alpha: exponent of their weights, similarity^alpha; 0 is the average.
        min_inliers: if above 0, only images that geometric verification has
            given so many inliers join, the first n of the re-ranked list.
    """

    images: int = 3
    alpha: float = 0.0
    min_inliers: int = 0

    def __post_init__(self):
        _require("query_expansion_images", self.images, 0)
        _require("query_expansion_alpha", self.alpha, 0)
        _require("query_expansion_min_inliers", self.min_inliers, 0)


@dataclasses.dataclass(frozen=True)
class DatabaseAugmentation:
    """Settings of `database_augmentation`.

    Attributes:
        images: nearest neighbours that join each index image; 0 changes
            nothing.
        alpha: exponent of their weights, similarity^alpha; 0 is the average.
    """

    images: int = 3
    alpha: float = 0.0

    def __post_init__(self):
        _require("database_augmentation", self.images, 0)
        _require("database_augmentation_alpha", self.alpha, 0)


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """Settings of `diffusion`; the defaults are those of Iscen et al.

    Attributes:
        neighbours: k of the graph's mutual nearest neighbours.
        query_neighbours: images that the query is joined to.
        damping: alpha, the share that flows on at each step.
        power: gamma, exponent of the similarities.
        depth: images at the top of each list that the graph is made of.
        tolerance: residual of the solution, relative to the right side.
    """

    neighbours: int = 50
    query_neighbours: int = 10
    damping: float = 0.99
    power: float = 3.0
    depth: int = 1000
    tolerance: float = 1e-6

    def __post_init__(self):
        _require("diffusion_neighbours", self.neighbours, 1)
        _require("diffusion_query_neighbours", self.query_neighbours, 1)
        _require("diffusion_damping", self.damping, 0, 1)
        _require("diffusion_power", self.power, 0)
        _require("neighbourhood_depth", self.depth, 1)
        _require("diffusion_tolerance", self.tolerance, 0, 1)


@dataclasses.dataclass(frozen=True)
class KReciprocal:
    """Settings of `k_reciprocal`; the defaults are those of Zhong et al.

    Attributes:
        k1: neighbours that may be reciprocal.
        k2: neighbours whose encodings are averaged; 1: none but its own.
        weight: lambda, the share of the original distance.
        depth: images at the top of each list that are re-ranked.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3
    depth: int = 1000

    def __post_init__(self):
        _require("k_reciprocal_k1", self.k1, 1)
        _require("k_reciprocal_k2", self.k2, 1)
        if not 0 <= self.weight <= 1:
            raise InputError(
                "k_reciprocal_lambda must be from 0 to 1, but is "
                f"{self.weight:g}."
            )
        _require("neighbourhood_depth", self.depth, 1)


@dataclasses.dataclass(frozen=True)
class RankingConfig:
    """What is done with global descriptors; by default plain search.

    The order is: database augmentation, search, query expansion and search
    again, diffusion or k-reciprocal re-ranking; geometric re-ranking, which is
    set elsewhere, comes last.

    Attributes:
        query_expansion: its settings, or None.
        database_augmentation: its settings, or None.
        diffusion: its settings, or None.
        k_reciprocal: its settings, or None.

    Raises:
        InputError: diffusion and k-reciprocal re-ranking are both asked for.
    """

    query_expansion: QueryExpansion | None = None
    database_augmentation: DatabaseAugmentation | None = None
    diffusion: Diffusion | None = None
    k_reciprocal: KReciprocal | None = None

    def __post_init__(self):
        if self.diffusion and self.k_reciprocal:
            raise InputError(
                "--diffusion and --k_reciprocal both order the same lists: "
                "pass only one of them."
            )

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the search is asked for."""
        return self == RankingConfig()
