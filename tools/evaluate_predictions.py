"""Measures given lists of index images: mAP@100 and more, with intervals.

The files are those of Google Landmarks v2, of this program (predictions.csv)
or of any other: columns id and images, the best first.
"""

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "predictions", None, "CSV with id and images: a query and its list a line."
)
flags.DEFINE_string(
    "solution",
    None,
    "CSV with id, images (the right ones) and Usage (Public, Private or "
    "Ignored).",
)
flags.DEFINE_string(
    "baseline",
    None,
    "Predictions of another run; what --predictions gain over it is tested.",
)
flags.DEFINE_string(
    "index", None, "CSV whose column id lists all images that may be named."
)
flags.DEFINE_multi_integer(
    "map_at", [], "Also mAP of the first k, for example 5; may be repeated."
)
flags.DEFINE_enum(
    "map_divisor",
    "limited",
    ["limited", "all", "found"],
    "What AP of the first k is divided by, with R right images: min(R, k), R, "
    "or the right ones among the first k.",
)
flags.DEFINE_float("level", 0.95, "Of bootstrap intervals over queries.")
flags.DEFINE_integer("num_samples", 10000, "Draws of intervals and tests.")
flags.DEFINE_integer("seed", 0, "Of the draws.")
flags.DEFINE_string("output_path", None, "JSON file with all that is measured.")
flags.DEFINE_bool("overwrite", False, "Replace --output_path.")
flags.mark_flags_as_required(["predictions", "solution"])


def main() -> None:
    """Reads the flags, measures, prints a table, writes the file."""
    from delg_tf.common.files import refuse_existing, write_json
    from delg_tf.evaluation import given_predictions

    if FLAGS.output_path:
        refuse_existing(FLAGS.output_path, FLAGS.overwrite)
    measured = given_predictions.measure_files(
        FLAGS.predictions,
        FLAGS.solution,
        FLAGS.baseline,
        FLAGS.index,
        given_predictions.MeasureOptions(
            tuple(FLAGS.map_at),
            FLAGS.map_divisor,
            FLAGS.level,
            FLAGS.num_samples,
            FLAGS.seed,
        ),
    )
    print(given_predictions.measured_table(measured))
    if FLAGS.output_path:
        write_json(FLAGS.output_path, given_predictions.measured_json(measured))
        print(FLAGS.output_path)


if __name__ == "__main__":
    cli.run(main)
