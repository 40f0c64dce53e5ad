"""What a report on retrieval is made of: plain lists, whatever the protocol."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from delg_tf.common.files import PathLike
from delg_tf.evaluation.published import PublishedRow
from delg_tf.evaluation.record import RunRecord
from delg_tf.features.storage.base import FeatureSource
from delg_tf.matching.config import MatchingConfig
from delg_tf.report.photographs import Images

Features = PathLike | FeatureSource


@dataclasses.dataclass(frozen=True, eq=False)
class RankedList:
    """Index images of one query, best first; a short list is enough.

    The page shows the first ten. Its histograms of inliers count the whole
    list, so a re-ranked one is to be as long as what was verified.

    Attributes:
        names: K names of index images.
        similarities: float [K], what the search ranked by, or None.
        inliers: int [K], number of inliers; negative where the image was not
            verified; None if none was.
    """

    names: Sequence[str]
    similarities: np.ndarray | None = None
    inliers: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a ranking of one query is worth under one protocol.

    Attributes:
        average_precision: in percent, by the protocol's own definition; NaN
            for a query without right images.
        ranks: int [F], ascending places (from 0) of the right images, after
            junk was taken out of the list. Right images that are not among
            them were not found.
    """

    average_precision: float
    ranks: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class QueryOutcome:
    """Labels of one query under one protocol, and what came out.

    Attributes:
        right: names of the right images.
        junk: names of the images that do not count.
        before: of the global ranking.
        after: of the re-ranking; None without one.
    """

    right: Collection[str]
    junk: Collection[str]
    before: Outcome
    after: Outcome | None = None

    @property
    def last(self) -> Outcome:
        """Of the ranking that counts: re-ranked, if there was one."""
        return self.before if self.after is None else self.after

    @property
    def gain(self) -> float:
        """Change of AP by re-ranking in points; NaN without."""
        if self.after is None:
            return float("nan")
        return self.after.average_precision - self.before.average_precision


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatedQuery:
    """One query with both rankings.

    Attributes:
        name: of the query image.
        outcomes: by protocol; the same protocols for every query.
        before: by global descriptor.
        after: re-ranked; None without re-ranking. Where each protocol has a
            ranking of its own, that of the report's `protocol`.
        box: (x1, y1, x2, y2) in pixels of the query image that was searched
            for, or None for the whole image.
    """

    name: str
    outcomes: Mapping[str, QueryOutcome]
    before: RankedList
    after: RankedList | None = None
    box: tuple[float, float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A line of a table of figures.

    Attributes:
        name: what the figures are of.
        values: in percent, by the table's column.
        intervals: (low, high) of confidence in percent, by column.
    """

    name: str
    values: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """What the report shows of training and of the stages of a workflow.

    Attributes:
        logdir: folder of the training run, or None.
        seconds: time by stage.
        images_per_second: rate by stage.
    """

    logdir: PathLike | None = None
    seconds: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    images_per_second: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalReport:
    """What a report on retrieval is made of.

    Images and features that are missing are left out, and the page says so.

    Attributes:
        title: of the page.
        queries: of Q queries the labels and rankings
            (`revisited_queries` makes them of search results).
        protocols: all protocols, in the order of tables.
        protocol: the one that the queries are shown under.
        num_index_images: how many images were searched.
        images: photographs of queries and of index images: a folder in which
            `<name>.jpg` or `a/b/c/<name>.jpg` lies, or a function from names
            to files; None: the page shows none.
        features: local features of queries and of index images, for
            attention maps and match lines; None: the page shows none.
        matching: the settings of re-ranking, which draw the match lines.
        num_to_rerank: length of the short lists that were verified; None
            without re-ranking.
        record: of the evaluation: its settings and other metrics are shown,
            and its confidence intervals if it has them (else they are
            computed); None: there is none.
        measured: more rankings for the table of mAP, before those of
            `queries`, e.g. of another network.
        published: reference figures (`evaluation.published.published_rows`),
            shown in a table of their own; their columns are `protocols`.
        settings: more tables of settings, by heading.
        notes: remarks on the top of the page.
        training: what else the page shows, for a workflow.
        metric_name: of the means of AP, e.g. "mAP@100".
        score_name: what `similarities` are.
        max_queries: number of queries to show; each takes up to 0.8 MB.

    Raises:
        ValueError: protocols contradict each other.
    """

    title: str
    queries: Sequence[EvaluatedQuery]
    protocols: Sequence[str]
    protocol: str
    num_index_images: int
    images: tuple[Images, Images] | None = None
    features: tuple[Features, Features] | None = None
    matching: MatchingConfig | None = None
    num_to_rerank: int | None = None
    record: RunRecord | None = None
    measured: Sequence[TableRow] = ()
    published: Sequence[PublishedRow] = ()
    settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict
    )
    notes: Sequence[str] = ()
    training: Training = dataclasses.field(default_factory=Training)
    metric_name: str = "mAP"
    score_name: str = "cosine"
    max_queries: int = 8

    def __post_init__(self):
        if self.protocol not in self.protocols:
            raise ValueError(
                f"`protocol` must be one of {tuple(self.protocols)}. Received: "
                f"{self.protocol!r}"
            )
        for query in self.queries:
            if set(query.outcomes) != set(self.protocols):
                raise ValueError(
                    "`outcomes` must have the protocols "
                    f"{tuple(self.protocols)}. Received: "
                    f"{tuple(query.outcomes)} for query {query.name}"
                )
