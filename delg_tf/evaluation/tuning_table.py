"""What tuning found, as flags and as tables."""

from collections.abc import Iterator, Sequence

from delg_tf.data.revisited import PROTOCOLS
from delg_tf.evaluation.tuning import Trial, describe
from delg_tf.matching.config import MatchingConfig
from delg_tf.retrieval.text_table import markdown_table


def tuned_flags(config: MatchingConfig) -> list[str]:
    """Returns what tuning chose as flags of the tools that re-rank."""
    ratio = config.ratio_test
    threshold = config.descriptor_distance if ratio is None else ratio
    flags = [f"--local_descriptor_matching_threshold={threshold:g}"]
    flags.append(f"--{'no' * (ratio is None)}use_ratio_test")
    flags.append(f"--{'no' * (not config.mutual)}mutual_matches")
    flags.append(f"--ransac_residual_threshold={config.residual_threshold:g}")
    return flags


def trials_table(trials: Sequence[Trial], protocols: Sequence[str]) -> str:
    """Returns a Markdown table of trials, in percent."""
    rows = list(_rows(trials, protocols))
    return markdown_table(["setting", *PROTOCOLS, "mean"], rows)


def trials_csv(trials: Sequence[Trial], protocols: Sequence[str]) -> str:
    """Returns the same table as CSV, settings as command-line flags."""
    lines = [",".join(["flags", *PROTOCOLS, "mean"])]
    for trial, (_, *numbers) in zip(trials, _rows(trials, protocols)):
        flags = " ".join(tuned_flags(trial.config))
        lines.append(",".join([flags, *numbers]))
    return "\n".join(lines) + "\n"


def _rows(
    trials: Sequence[Trial], protocols: Sequence[str]
) -> Iterator[list[str]]:
    for trial in trials:
        numbers = [trial.scores[name] for name in PROTOCOLS]
        numbers.append(trial.mean(protocols))
        yield [describe(trial.config), *(f"{n:.2f}" for n in numbers)]
