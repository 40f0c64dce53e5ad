"""Runs the whole way on the demonstration data: photographs to report.

`make demo` calls this. Finished stages are reused.
"""

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_string("output_directory", "demo", "Folder of everything made.")
flags.DEFINE_string(
    "photos", None, "Folder of your own photographs to use as well."
)
flags.DEFINE_integer("seed", 0, "Of data, weights, input order and RANSAC.")
flags.DEFINE_bool(
    "quick",
    False,
    "A minute instead of minutes: little data, hardly any training. Shows "
    "that everything runs; its figures mean nothing.",
)


def main() -> None:
    """Runs the demonstration."""
    from delg_tf.demo.pipeline import DemoOptions, run_demo

    run_demo(
        DemoOptions(
            FLAGS.output_directory, FLAGS.photos, FLAGS.seed, FLAGS.quick
        )
    )


if __name__ == "__main__":
    cli.run(main)
