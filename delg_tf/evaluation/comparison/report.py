"""A comparison of runs, ready to be written as Markdown or as a page."""

import dataclasses
from collections.abc import Sequence

from delg_tf.common.errors import InputError
from delg_tf.evaluation.comparison.numbers import (
    LAST,
    MetricRow,
    QueryRow,
    metric_rows,
    protocols_of,
    query_rows,
)
from delg_tf.evaluation.comparison.runs import (
    Run,
    what_is_open,
    why_not_comparable,
)
from delg_tf.evaluation.comparison.settings import Setting, settings_of
from delg_tf.evaluation.published import (
    PublishedRow,
    published,
    published_rows,
)
from delg_tf.evaluation.revisited import AFTER_RERANKING

# Whose queries are shown unless asked otherwise: the first that there is.
_PREFERRED = ("medium", "oxford", "private")
# What is published of each protocol; a record has GLDv2's mAP@100 as mAP.
_PUBLISHED = {
    "revisited": "mAP",
    "oxford": "mAP",
    "landmark_retrieval": "mAP@100",
    "landmark_recognition": "GAP",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: the first is what others are compared with.
        warnings: why they are not comparable; there are some only if that
            was allowed.
        notes: what a reader has to keep in mind.
        settings: those that differ first.
        rows: all metrics.
        protocol: whose queries are listed.
        queries: AP of each, those that changed most first.
        published: reference numbers, which are not measured.
    """

    runs: Sequence[Run]
    warnings: Sequence[str]
    notes: Sequence[str]
    settings: Sequence[Setting]
    rows: Sequence[MetricRow]
    protocol: str
    queries: Sequence[QueryRow]
    published: Sequence[PublishedRow] = ()


def compare_runs(
    runs: Sequence[Run],
    protocol: str | None = None,
    force: bool = False,
    with_published: bool = True,
) -> Comparison:
    """Compares runs with the first one.

    Args:
        runs: two or more.
        protocol: whose queries are listed, e.g. "hard" or "hard_after_gv";
            None: Medium, in the end.
        force: whether runs are laid side by side that are not comparable.
        with_published: whether published numbers are shown, where the data
            set has some.

    Raises:
        InputError: they are not comparable and `force` is false, or there is
            no such protocol.
    """
    warnings = why_not_comparable(runs)
    if warnings and not force:
        raise InputError(
            "These runs are not comparable. " + " ".join(warnings) + " --force "
            "lays them side by side all the same, and says so."
        )
    protocols = protocols_of(runs)
    protocol = _choose(protocols, protocol)
    rows = metric_rows(runs, protocols, force)
    return Comparison(
        runs=runs,
        warnings=warnings,
        notes=[*what_is_open(runs), *_missing(rows)],
        settings=settings_of(runs),
        rows=rows,
        protocol=protocol,
        queries=query_rows(runs, protocol),
        published=_published(runs) if with_published else (),
    )


def protocol_title(key: str) -> str:
    """Returns a protocol's key in words, e.g. "medium, re-ranked"."""
    for suffix, words in (
        (AFTER_RERANKING, "re-ranked"),
        (LAST, "last ranking"),
    ):
        if key.endswith(suffix):
            return f"{key.removesuffix(suffix)}, {words}"
    return key


def _choose(protocols: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in protocols:
            raise InputError(
                f"No run has the protocol {wanted!r}; there is "
                f"{', '.join(protocols)}."
            )
        return wanted
    base = next((p for p in _PREFERRED if p in protocols), protocols[0])
    for suffix in (LAST, AFTER_RERANKING):
        if base + suffix in protocols:
            return base + suffix
    return base


def _missing(rows: Sequence[MetricRow]) -> list[str]:
    """Says whether metrics of some runs could not be compared by query."""
    without = dict.fromkeys(
        row.measure.protocol
        for row in rows
        if row.measure.metric == "mAP"
        and any(
            value == value and difference is None
            for value, difference in zip(row.values[1:], row.differences[1:])
        )
    )
    if not without:
        return []
    names = "; ".join(map(protocol_title, without))
    return [f"Without values of the same queries, no test: {names}."]


def _published(runs: Sequence[Run]) -> list[PublishedRow]:
    """Numbers on the data set of the first run, under its protocol."""
    record = runs[0].record
    metric = _PUBLISHED.get(record.protocol)
    if record.dataset is None or metric is None:
        return []
    return published_rows(published(record.dataset, metric=metric))
