"""Results as a table that reads well in a terminal and as Markdown."""

import math
from collections.abc import Mapping

import numpy as np

from delg_tf.data.revisited import PROTOCOLS
from delg_tf.evaluation.pairs import PairMetrics
from delg_tf.evaluation.revisited import AFTER_RERANKING, ProtocolMetrics
from delg_tf.retrieval.text_table import markdown_table


def metrics_table(metrics: Mapping[str, ProtocolMetrics]) -> str:
    """Returns one line for each protocol and ranking.

    Args:
        metrics: by protocol, as `evaluate_before_and_after` returns them.

    Returns:
        A Markdown table, columns aligned; all numbers in percent, "-" where
        no query has a positive.
    """
    first = next(iter(metrics.values()))
    header = ["protocol", "ranking", "mAP"]
    header += [f"mP@{k}" for k in first["mP@k"]]
    header += [f"mR@{k}" for k in first["mR@k"]]
    rows = []
    for key in sorted(metrics, key=_order):
        values = metrics[key]
        reranked = key.endswith(AFTER_RERANKING)
        numbers = [
            values["mAP"],
            *values["mP@k"].values(),
            *values["mR@k"].values(),
        ]
        rows.append(
            [
                key.removesuffix(AFTER_RERANKING),
                "re-ranked" if reranked else "global",
                *(_percent(number) for number in numbers),
            ]
        )
    return markdown_table(header, rows)


def map_table(quality: Mapping[str, Mapping[str, float]]) -> str:
    """Returns one line for each of several ways to make features.

    Args:
        quality: by way, mAP in percent by protocol and ranking.

    Returns:
        A Markdown table; "-" where no query has a positive.
    """
    keys = sorted(next(iter(quality.values())), key=_order)
    header = [key.replace(AFTER_RERANKING, ", re-ranked") for key in keys]
    return markdown_table(
        ["mAP, %", *header],
        [
            [name, *(_percent(values[key]) for key in keys)]
            for name, values in quality.items()
        ],
    )


def pair_metrics_table(metrics: PairMetrics) -> str:
    """Returns what pairs of images have given, on one line.

    Args:
        metrics: as `evaluate_pairs` returns them.

    Returns:
        A Markdown table; AP and chance in percent, medians of inliers.
    """
    medians = [
        np.median(metrics.inliers[metrics.matches == kind])
        if (metrics.matches == kind).any()
        else math.nan
        for kind in (True, False)
    ]
    return markdown_table(
        ["pairs", "matching", "AP", "chance", "inliers", "of others"],
        [
            [
                str(metrics.num_pairs),
                str(metrics.num_matching),
                _percent(100 * metrics.average_precision),
                _percent(100 * metrics.chance),
                *("-" if math.isnan(m) else f"{m:g}" for m in medians),
            ]
        ],
    )


def _order(key: str) -> tuple[int, str, str]:
    """Easy, Medium, Hard; each before and then after re-ranking."""
    protocol = key.removesuffix(AFTER_RERANKING)
    known = protocol in PROTOCOLS
    place = PROTOCOLS.index(protocol) if known else len(PROTOCOLS)
    return place, protocol, key


def _percent(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.2f}"
