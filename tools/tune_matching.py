"""Finds the settings of matching that suit local features.

They are chosen on validation landmarks, by the mAP after re-ranking a global
search, and written as a flagfile for the tools that re-rank. Never choose them
on the landmarks that you report.
"""

import pathlib

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.evaluation.tuning import SEARCHES, TuningGrid
from delg_tf.retrieval import flags as retrieval_flags

FLAGS = flags.FLAGS
_PROTOCOLS = ["easy", "medium", "hard"]


def _texts(values: tuple) -> list[str]:
    return [f"{value:g}" for value in values]


flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth of the validation landmarks in the Revisited Oxford/Paris "
    "format (.mat or .pkl).",
)
flags.DEFINE_string(
    "query_features_dir",
    None,
    "Folder with the queries' feature files, or a store: global descriptors, "
    "and local features without --query_local_features_dir.",
)
flags.DEFINE_string("index_features_dir", None, "The same of the index images.")
retrieval_flags.define_local_feature_flags()
flags.DEFINE_list(
    "distances",
    _texts(TuningGrid.distances),
    "Largest distances of descriptors to try; may be empty.",
)
flags.DEFINE_list(
    "ratios",
    _texts(TuningGrid.ratios),
    "Ratios of the ratio test to try in their place; may be empty.",
)
flags.DEFINE_multi_enum(
    "mutual",
    ["false", "true"],
    ["false", "true"],
    "Whether matches must be mutual; give the flag once a value to try.",
)
flags.DEFINE_list(
    "residuals",
    _texts(TuningGrid.residuals),
    "Largest residuals of inliers to try, pixels.",
)
flags.DEFINE_enum(
    "search",
    "stages",
    SEARCHES,
    "stages: first all tests under --ransac_residual_threshold, then all "
    "residuals with the best test. grid: every combination.",
)
flags.DEFINE_multi_enum(
    "protocol",
    ["medium", "hard"],
    _PROTOCOLS,
    "The mean mAP of these decides; may be given several times.",
)
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder for best.flags, tuning.csv and trials.json. What trials.json has "
    "already is not tried again.",
)
flags.mark_flags_as_required(
    [
        "dataset_file_path",
        "query_features_dir",
        "index_features_dir",
        "output_dir",
    ]
)
retrieval_flags.define_reranking_flags()


def _numbers(name: str) -> tuple[float, ...]:
    texts = [text for text in FLAGS[name].value if text]
    try:
        return tuple(map(float, texts))
    except ValueError as error:
        raise InputError(
            f"--{name} must be numbers, separated by commas, but is "
            f"{','.join(texts)!r}."
        ) from error


def _grid() -> TuningGrid:
    return TuningGrid(
        _numbers("distances"),
        _numbers("ratios"),
        tuple(text == "true" for text in dict.fromkeys(FLAGS.mutual)),
        _numbers("residuals"),
    )


def main() -> None:
    """Reads the flags, tries the settings, and writes the best."""
    from delg_tf.common.files import atomic_write
    from delg_tf.evaluation import tuning_table
    from delg_tf.evaluation.pipeline import tune_features

    output = pathlib.Path(FLAGS.output_dir)
    trials = tune_features(
        FLAGS.dataset_file_path,
        (FLAGS.query_features_dir, FLAGS.index_features_dir),
        retrieval_flags.local_feature_paths(),
        _grid(),
        retrieval_flags.rerank_config(),
        FLAGS.protocol,
        FLAGS.search,
        output / "trials.json",
    )
    # What was given beside the tuned flags holds for the best, too.
    given = [
        flag.serialize()
        for flag in FLAGS.get_key_flags_for_module("delg_tf.matching.flags")
        if flag.present
    ]
    lines = given + tuning_table.tuned_flags(trials[0].config)
    with atomic_write(output / "best.flags", "w") as file:
        file.write("\n".join(lines) + "\n")
    with atomic_write(output / "tuning.csv", "w") as file:
        file.write(tuning_table.trials_csv(trials, FLAGS.protocol))
    print(tuning_table.trials_table(trials, FLAGS.protocol))
    print(f"{output / 'best.flags'}: {' '.join(lines)}")


if __name__ == "__main__":
    cli.run(main)
