"""Average precision of image pairs, matching or not, ranked by inliers.

The pairs are those of a CSV file (--pairs_file), or each query of a data set
with all its right images and with some wrong ones (--dataset_file_path).
"""

import dataclasses
import pathlib

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.matching.flags import matching_config
from delg_tf.retrieval import flags as retrieval_flags

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "pairs_file",
    None,
    "CSV with the columns query, index (names of images) and match (1 for "
    "the same landmark, else 0).",
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Without --pairs_file: ground truth in the Revisited Oxford/Paris format "
    "(.mat or .pkl).",
)
flags.DEFINE_integer(
    "negatives_per_query",
    50,
    "With --dataset_file_path: wrong images that are drawn for each query, by "
    "--seed; neither right nor junk.",
)
flags.DEFINE_string(
    "query_features_dir",
    None,
    "Folder of feature files of the query images, or file of a store.",
)
flags.DEFINE_string(
    "index_features_dir",
    None,
    "The same of the index images; default: --query_features_dir.",
)
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder for metrics.json, pairs.csv and precision_recall.svg.",
)
flags.DEFINE_bool("overwrite", False, "Replace the files in --output_dir.")
flags.mark_flags_as_required(["query_features_dir", "output_dir"])
retrieval_flags.define_verification_flags()


def main() -> None:
    """Reads the flags, verifies the pairs, prints a table, writes the files."""
    from delg_tf.common.files import refuse_existing
    from delg_tf.data import pairs as image_pairs
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.evaluation.metrics_file import write_pair_metrics_json
    from delg_tf.evaluation.pairs import evaluate_pairs
    from delg_tf.evaluation.table import pair_metrics_table
    from delg_tf.report.pair_charts import write_pair_chart
    from delg_tf.retrieval.feature_store import FeatureStore

    if bool(FLAGS.pairs_file) == bool(FLAGS.dataset_file_path):
        raise InputError("Pass either --pairs_file or --dataset_file_path.")
    output = pathlib.Path(FLAGS.output_dir)
    json, csv, chart = (
        refuse_existing(output / name, FLAGS.overwrite)
        for name in ("metrics.json", "pairs.csv", "precision_recall.svg")
    )
    matching = matching_config()
    details = {
        "query_features_dir": FLAGS.query_features_dir,
        "index_features_dir": (
            FLAGS.index_features_dir or FLAGS.query_features_dir
        ),
        "average_precision": "stepwise, equal counts are one threshold",
        "unit": "percent",
        "matching": dataclasses.asdict(matching),
    }
    if FLAGS.pairs_file:
        pairs = image_pairs.read_pairs(FLAGS.pairs_file)
        details["pairs_file"] = FLAGS.pairs_file
    else:
        pairs = image_pairs.pairs_of_ground_truth(
            load_ground_truth(FLAGS.dataset_file_path),
            FLAGS.negatives_per_query,
            FLAGS.seed,
        )
        details["dataset_file_path"] = FLAGS.dataset_file_path
        details["negatives_per_query"] = FLAGS.negatives_per_query
        details["seed"] = FLAGS.seed
    query_store = index_store = FeatureStore(FLAGS.query_features_dir)
    if FLAGS.index_features_dir:
        index_store = FeatureStore(FLAGS.index_features_dir)
    metrics = evaluate_pairs(
        pairs, query_store, index_store, matching, retrieval_flags.num_threads()
    )
    write_pair_metrics_json(json, metrics, details, FLAGS.overwrite)
    image_pairs.write_pairs(
        csv, pairs, FLAGS.overwrite, {"inliers": metrics.inliers}
    )
    write_pair_chart(chart, metrics, FLAGS.overwrite)
    print(pair_metrics_table(metrics))
    print(f"{json}, {csv}, {chart}")


if __name__ == "__main__":
    cli.run(main)
