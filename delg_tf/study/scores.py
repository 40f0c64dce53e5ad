"""What a run of a study scored, read from the files of its stages."""

import pathlib

from delg_tf.common.files import read_json
from delg_tf.data.revisited import PROTOCOLS
from delg_tf.protos import study_pb2
from delg_tf.training.history import read_history

Measures = study_pb2.Study
Curve = list[tuple[int, float]]


def columns(measures: tuple[int, ...]) -> list[str]:
    """Names of the columns of a study, all in percent."""
    names = []
    for measure in measures:
        if measure == Measures.PAIR_AP:
            names.append("AP of pairs")
        elif measure == Measures.SPARSITY:
            names += ["zeros in block3", "zeros in block4"]
        else:
            reranked = measure == Measures.RERANKED_MAP
            ranking = "re-ranked" if reranked else "global"
            names += [f"{ranking} {p.capitalize()}" for p in PROTOCOLS]
    return names


def read_scores(
    output: pathlib.Path, measures: tuple[int, ...]
) -> dict[str, float]:
    """Scores of a run by column, in percent.

    Args:
        output: folder of a finished run.
        measures: of `Study.Measure`.
    """
    values: list[float] = []
    for measure in measures:
        if measure == Measures.PAIR_AP:
            pairs = read_json(output / "pairs" / "metrics.json")
            values.append(pairs["metrics"]["average_precision"])
        elif measure == Measures.SPARSITY:
            values += [_last(output, b) for b in ("block3", "block4")]
        elif measure == Measures.GLOBAL_MAP:
            values += _maps(output, "global", "")
        else:
            values += _maps(output, "reranked", "_after_gv")
    return dict(zip(columns(measures), values, strict=True))


def read_curve(output: pathlib.Path, curve: study_pb2.Curve) -> Curve:
    """Steps and values of a figure over the training of a run."""
    return [
        (row["step"], row[curve.key])
        for row in read_history(output / "training")
        if row["kind"] == curve.kind and curve.key in row
    ]


def _maps(output: pathlib.Path, ranking: str, suffix: str) -> list[float]:
    metrics = read_json(output / "evaluation" / ranking / "metrics.json")
    return [metrics["metrics"][p + suffix]["mAP"] for p in PROTOCOLS]


def _last(output: pathlib.Path, block: str) -> float:
    curve = study_pb2.Curve(key=f"sparsity/{block}")
    points = read_curve(output, curve)
    return 100 * points[-1][1] if points else float("nan")
