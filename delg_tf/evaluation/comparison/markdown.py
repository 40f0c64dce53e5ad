"""A comparison of runs as Markdown."""

import math
from collections.abc import Sequence

from delg_tf.evaluation.comparison.numbers import MetricRow
from delg_tf.evaluation.comparison.report import Comparison, protocol_title
from delg_tf.evaluation.metrics.significance import PairedDifference
from delg_tf.evaluation.published import published_columns, published_text
from delg_tf.retrieval.text_table import markdown_table

HOW_TO_READ = (
    "In percent. In brackets: 95% confidence interval, by bootstrap over the "
    "queries. Differences are from the first run, query by query; p: two-sided "
    "sign-flip test, not corrected for the number of comparisons."
)
NOT_MEASURED = (
    "Not measured here. Training data, crops, code and machines are others: "
    "read the source before comparing. † not read at its source."
)


def comparison_markdown(comparison: Comparison, num_queries: int = 20) -> str:
    """Returns the comparison as Markdown.

    Args:
        comparison: what is written.
        num_queries: queries that are listed, at most.
    """
    names = [run.name for run in comparison.runs]
    parts = [f"# Comparison: {', '.join(names)}"]
    parts += [f"**Not comparable: {text}**" for text in comparison.warnings]
    parts += [f"Note: {text}" for text in comparison.notes]
    parts += ["## Settings", _settings(comparison, names)]
    parts += ["## Metrics", HOW_TO_READ, _metrics(comparison, names)]
    if comparison.queries:
        title = protocol_title(comparison.protocol)
        parts += [f"## Queries, {title}", _queries(comparison, num_queries)]
    if comparison.published:
        parts += ["## Published numbers", NOT_MEASURED, _published(comparison)]
    return "\n\n".join(parts) + "\n"


def percent(value: float) -> str:
    """Returns a number with two decimals, or a dash."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def value_text(row: MetricRow, place: int) -> str:
    """Returns a run's value with its interval."""
    text, interval = percent(row.values[place]), row.intervals[place]
    if interval is None or math.isnan(interval[0]):
        return text
    return f"{text} [{interval[0]:.1f}, {interval[1]:.1f}]"


def difference_text(difference: PairedDifference | None) -> str:
    """Returns a difference with its interval."""
    if difference is None or math.isnan(difference.mean):
        return "-"
    low, high = difference.interval.low, difference.interval.high
    return f"{difference.mean:+.2f} [{low:+.1f}, {high:+.1f}]"


def p_text(difference: PairedDifference | None) -> str:
    """Returns the p-value."""
    if difference is None or math.isnan(difference.p_value):
        return "-"
    return f"{difference.p_value:.2g}"


def _settings(comparison: Comparison, names: Sequence[str]) -> str:
    differ = [setting for setting in comparison.settings if setting.differs]
    same = len(comparison.settings) - len(differ)
    if not differ:
        return f"All {same} settings are the same."
    table = markdown_table(
        ["setting", *map(_escaped, names)],
        [[s.name, *map(_escaped, s.values)] for s in differ],
    )
    return f"{table}\n\n{same} more settings are the same."


def _metrics(comparison: Comparison, names: Sequence[str]) -> str:
    others = [_escaped(name) for name in names[1:]]
    header = ["protocol", "metric", *map(_escaped, names)]
    for name in others:
        header += [f"{name} - {_escaped(names[0])}", "p"]
    lines = []
    for row in comparison.rows:
        line = [protocol_title(row.measure.protocol), row.measure.name]
        line += [value_text(row, place) for place in range(len(names))]
        for difference in row.differences[1:]:
            line += [difference_text(difference), p_text(difference)]
        lines.append(line)
    return markdown_table(header, lines)


def _queries(comparison: Comparison, number: int) -> str:
    names = [_escaped(run.name) for run in comparison.runs]
    rows = comparison.queries
    table = markdown_table(
        ["query", *names, "change"],
        [
            [_escaped(row.name), *map(percent, row.values), _change(row.change)]
            for row in rows[:number]
        ],
    )
    left = len(rows) - min(number, len(rows))
    return f"{table}\n\n{left} more queries changed less." if left else table


def _change(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}"


def _published(comparison: Comparison) -> str:
    columns = published_columns(comparison.published)
    return markdown_table(
        ["published", *columns, "source"],
        [
            [
                row.name,
                *(published_text(row.values.get(key)) for key in columns),
                _escaped(row.source),
            ]
            for row in comparison.published
        ],
    )


def _escaped(text: str) -> str:
    """Returns text for a cell."""
    return text.replace("|", "\\|").replace("\n", " ")
