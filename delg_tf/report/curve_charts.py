"""Charts of precision over recall."""

from collections.abc import Sequence

import markupsafe
import numpy as np
from matplotlib.axes import Axes

from delg_tf.report import svg
from delg_tf.report.charts import Chart
from delg_tf.report.recall_curves import (
    RECALL_LEVELS,
    mean_precision_at_recall,
    precision_at_recall,
)
from delg_tf.report.retrieval_inputs import (
    EvaluatedQuery,
    QueryOutcome,
)

_COLORS = (svg.BLUE, svg.TEAL, svg.AMBER, svg.RED, svg.GREY)
_BEFORE = (0, (4, 2))


def mean_curves(
    queries: Sequence[EvaluatedQuery], protocols: Sequence[str]
) -> Chart:
    """Draws the mean over queries, a line a protocol and ranking.

    Args:
        queries: all of them.
        protocols: which to draw.
    """
    figure, axes = svg.new_axes(4.6, 3.6)
    is_reranked = any(query.after is not None for query in queries)
    for protocol, color in zip(protocols, _COLORS):
        for which in ("before", "after"):
            curves = [
                _curve(query.outcomes[protocol], which)
                for query in queries
                if getattr(query.outcomes[protocol], which) is not None
            ]
            mean = mean_precision_at_recall(curves)
            name = protocol.capitalize()
            if is_reranked:
                name += f", {which}"
            dashed = is_reranked and which == "before"
            _draw(axes, mean, color, name, dashed)
    _finish(axes, columns=2 if is_reranked else 3)
    return Chart(
        "Precision over recall",
        svg.to_svg(
            figure,
            "Interpolated precision at levels of recall, mean over the queries "
            "by protocol",
        ),
        "Mean over the queries of the interpolated precision: the highest at "
        "that recall or more. Beyond the end of a list it counts as 0. Dashed "
        "lines, where there are any, are those before re-ranking.",
    )


def query_curve(
    number: int, name: str, outcome: QueryOutcome
) -> markupsafe.Markup:
    """Draws the curves of one query.

    Args:
        number: of the query on the page.
        name: of the query.
        outcome: of both rankings.
    """
    figure, axes = svg.new_axes(3.0, 2.3)
    total = len(outcome.right)
    if outcome.after is not None:
        curve = precision_at_recall(outcome.before.ranks, total)
        _draw(axes, curve, svg.BLUE, "before", dashed=True)
    curve = precision_at_recall(outcome.last.ranks, total)
    label = "after" if outcome.after is not None else ""
    _draw(axes, curve, svg.TEAL, label, dashed=False)
    _finish(axes, columns=2)
    return svg.to_svg(
        figure, f"Precision over recall of query {number}, {name}"
    )


def _curve(outcome: QueryOutcome, which: str) -> np.ndarray:
    ranks = getattr(outcome, which).ranks
    return precision_at_recall(ranks, len(outcome.right))


def _draw(
    axes: Axes, curve: np.ndarray, color: str, name: str, dashed: bool
) -> None:
    if not len(curve):
        return
    axes.plot(
        100 * RECALL_LEVELS,
        100 * curve,
        color=color,
        linewidth=1.6,
        linestyle=_BEFORE if dashed else "-",
        label=name or None,
    )


def _finish(axes: Axes, columns: int) -> None:
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 105)
    svg.set_labels(axes, "recall, %", "precision, %")
    svg.add_legend(axes, columns)
