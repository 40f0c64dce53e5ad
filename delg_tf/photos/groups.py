"""Groups of photographs in an index: near-duplicates, landmarks."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.retrieval.index.base import ImageIndex, Where

# Photographs searched for at a time.
_BATCH = 512

# Of pairs of names: the number of inliers, and the smaller number of local
# features of the two; int [P] each.
CountInliers = Callable[
    [Sequence[tuple[str, str]]], tuple[np.ndarray, np.ndarray]
]


@dataclasses.dataclass(frozen=True)
class GroupOptions:
    """Which photographs belong together.

    Attributes:
        similarity: least cosine of two global descriptors for a link.
        min_inliers: least number of inliers for a link; 0: the cosine alone
            decides.
        min_share: least share of the local features that are inliers, of that
            photograph which has fewer; from 0 to 1.
        neighbours: most similar photographs of each that may be linked to it.
        min_size: smaller groups are left out.
        where: a filter of the photographs, see `filters.parse_filter`.

    Raises:
        InputError: a value is out of range.
    """

    similarity: float
    min_inliers: int
    min_share: float = 0.0
    neighbours: int = 50
    min_size: int = 2
    where: Where = None

    def __post_init__(self) -> None:
        if not -1 <= self.similarity <= 1:
            raise InputError(
                "The similarity must be from -1 to 1, but is "
                f"{self.similarity}."
            )
        if not 0 <= self.min_share <= 1:
            raise InputError(
                f"The least share must be from 0 to 1, but is {self.min_share}."
            )
        for name, low in (
            ("min_inliers", 0),
            ("neighbours", 1),
            ("min_size", 2),
        ):
            if getattr(self, name) < low:
                raise InputError(
                    f"{name} must be at least {low}, but is "
                    f"{getattr(self, name)}."
                )


@dataclasses.dataclass(frozen=True)
class Link:
    """Two photographs that belong together.

    Attributes:
        names: of the two.
        similarity: cosine of their global descriptors.
        inliers: of their local features; None if not counted.
    """

    names: tuple[str, str]
    similarity: float
    inliers: int | None


@dataclasses.dataclass(frozen=True)
class Group:
    """Photographs that are linked, directly or through others.

    Attributes:
        names: of the photographs; the one with most links first, equal ones
            by name.
        links: between them.
    """

    names: list[str]
    links: list[Link]


def find_groups(
    index: ImageIndex, options: GroupOptions, count: CountInliers | None
) -> list[Group]:
    """Links photographs that look alike, and returns what hangs together.

    Each photograph is searched for among all; pairs above the similarity are
    verified by their local features. A photograph is in one group at most.

    Args:
        index: the photographs.
        options: what makes a link.
        count: verifies pairs; None only without `min_inliers`.

    Returns:
        Groups, the largest first, equal ones by their first name.

    Raises:
        InputError: the filter is wrong.
    """
    pairs, similarities = candidate_pairs(index, options)
    names = [(index.names[a], index.names[b]) for a, b in pairs.tolist()]
    inliers = None
    if options.min_inliers and count is not None:
        inliers, features = count(names)
        kept = inliers >= options.min_inliers
        kept &= inliers >= options.min_share * features
        pairs, similarities = pairs[kept], similarities[kept]
        names = [pair for pair, keep in zip(names, kept) if keep]
        inliers = inliers[kept]
    links = [
        Link(pair, float(similarity), None if number is None else int(number))
        for pair, similarity, number in zip(
            names,
            similarities,
            [None] * len(names) if inliers is None else inliers,
        )
    ]
    return _connected(links, pairs, options.min_size)


def candidate_pairs(
    index: ImageIndex, options: GroupOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Returns pairs of photographs that look alike.

    Args:
        index: the photographs.
        options: `similarity`, `neighbours` and `where` are used.

    Returns:
        int64 [P, 2], ids, the lower first; and float32 [P], their cosines.

    Raises:
        InputError: the filter is wrong.
    """
    ids = index.matching(options.where)
    found: dict[tuple[int, int], float] = {}
    with Progress(len(ids), "Search", "photograph") as progress:
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            descriptors = index.descriptors([index.names[i] for i in part])
            known = descriptors.any(axis=1)
            progress.advance(len(part))
            if not known.any():
                continue
            hits = index.search(
                descriptors[known], options.neighbours + 1, options.where
            )
            near = hits.similarities >= options.similarity
            for query, row, cosines, keep in zip(
                part[known], hits.ids, hits.similarities, near
            ):
                for other, cosine in zip(row[keep], cosines[keep]):
                    if other not in (-1, query):
                        pair = (min(query, other), max(query, other))
                        found[tuple(map(int, pair))] = float(cosine)
    order = sorted(found)
    pairs = np.array(order, np.int64).reshape(-1, 2)
    return pairs, np.array([found[pair] for pair in order], np.float32)


def _connected(
    links: Sequence[Link], pairs: np.ndarray, min_size: int
) -> list[Group]:
    if not links:
        return []
    nodes, edges = np.unique(pairs, return_inverse=True)
    edges = edges.reshape(-1, 2)
    shape = (len(nodes), len(nodes))
    graph = sparse.coo_matrix(
        (np.ones(len(edges), np.int8), edges.T), shape=shape
    )
    _, parts = csgraph.connected_components(graph, directed=False)
    links_of: dict[int, list[Link]] = {}
    for link, part in zip(links, parts[edges[:, 0]].tolist()):
        links_of.setdefault(part, []).append(link)
    groups = [_group(part) for part in links_of.values()]
    groups = [group for group in groups if len(group.names) >= min_size]
    return sorted(groups, key=lambda group: (-len(group.names), group.names[0]))


def _group(links: list[Link]) -> Group:
    degree: dict[str, int] = {}
    for link in links:
        for name in link.names:
            degree[name] = degree.get(name, 0) + 1
    names = sorted(degree, key=lambda name: (-degree[name], name))
    return Group(names, links)
