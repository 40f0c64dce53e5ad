"""Lays evaluations side by side, as Markdown and as a page.

  python tools/compare_runs.py BASELINE/evaluation NEW/evaluation \
    --output_dir=COMPARISON

Each is a folder with the metrics.json of tools/evaluate_retrieval.py, or such a
file; others are compared with the first. Settings that differ come first, then
metrics with confidence intervals, differences with p-values, and the queries
that changed most, with pictures on the page where the records name images and
search results.
"""

import pathlib

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS

flags.DEFINE_list(
    "names", None, "What the runs are called; default: as their folders."
)
flags.DEFINE_string(
    "protocol",
    None,
    "Whose queries are listed, e.g. hard, or hard_after_gv for the re-ranked "
    "lists; default: Medium, re-ranked where a run is.",
)
flags.DEFINE_bool(
    "force",
    False,
    "Also compare runs on other lists of images, under other protocols, or of "
    "which one has cropped queries; the result says that they are not "
    "comparable.",
)
flags.DEFINE_bool(
    "published",
    True,
    "Show published numbers on the data set, apart from the measured ones.",
)
flags.DEFINE_integer(
    "num_queries", 20, "Queries that the Markdown lists.", lower_bound=0
)
flags.DEFINE_integer(
    "num_pictures", 8, "Queries that the page has pictures of.", lower_bound=0
)
flags.DEFINE_string(
    "output_dir", None, "Folder for compare.md and compare.html."
)
flags.DEFINE_bool("overwrite", False, "Replace the files in --output_dir.")


def main(paths: list[str]) -> None:
    """Compares the runs, prints Markdown and writes the files."""
    from delg_tf.common.files import atomic_write, refuse_existing
    from delg_tf.evaluation.comparison.markdown import comparison_markdown
    from delg_tf.evaluation.comparison.report import compare_runs
    from delg_tf.evaluation.comparison.runs import read_runs

    if len(paths) < 2:
        raise InputError("Give at least two runs: compare_runs.py A B ...")
    output = pathlib.Path(FLAGS.output_dir) if FLAGS.output_dir else None
    files = (
        [output / f"compare.{end}" for end in ("md", "html")] if output else []
    )
    for path in files:
        refuse_existing(path, FLAGS.overwrite)
    comparison = compare_runs(
        read_runs(paths, FLAGS.names),
        FLAGS.protocol,
        FLAGS.force,
        FLAGS.published,
    )
    text = comparison_markdown(comparison, FLAGS.num_queries)
    print(text)
    if files:
        from delg_tf.report.comparison_page import write_comparison_page

        with atomic_write(files[0], "w") as file:
            file.write(text)
        write_comparison_page(files[1], comparison, FLAGS.num_pictures)
        print(", ".join(map(str, files)))


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
