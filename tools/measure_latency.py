r"""Times extraction on this machine: the paper's table 6.

  python tools/measure_latency.py --output_dir=latency

Networks have random weights and the paper's sizes; images are square.
"""

import pathlib
import tempfile

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS

flags.DEFINE_list("backbones", ["resnet50", "resnet101"], "Networks.")
flags.DEFINE_list(
    "runtimes",
    [],
    "Pairs runtime:precision, as tools/extract_features.py takes them; "
    "default: all that this machine and its packages can run.",
)
flags.DEFINE_integer("image_size", 1024, "Side of the images in pixels.")
flags.DEFINE_integer(
    "batch_size", 1, "Images that go through the network together."
)
flags.DEFINE_integer("repeats", 5, "Timings of each way; medians are shown.")
flags.DEFINE_string("output_dir", None, "Folder of metrics.json and a chart.")
flags.DEFINE_bool("overwrite", False, "Replace the files in --output_dir.")
flags.mark_flag_as_required("output_dir")


def main() -> None:
    """Measures by the flags, prints a table, writes the files."""
    from delg_tf.latency.flops import peak_flops
    from delg_tf.latency.measure import LatencyOptions, measure
    from delg_tf.latency.output import latency_table, write_latency
    from delg_tf.latency.ways import available_ways

    runtimes = tuple(tuple(pair.split(":")) for pair in FLAGS.runtimes)
    if any(len(pair) != 2 for pair in runtimes):
        raise InputError(
            "--runtimes must be pairs like openvino:bfloat16. Received: "
            f"{','.join(FLAGS.runtimes)}"
        )
    options = LatencyOptions(
        backbones=tuple(FLAGS.backbones),
        runtimes=runtimes or tuple(available_ways()),
        image_size=FLAGS.image_size,
        batch_size=FLAGS.batch_size,
        repeats=FLAGS.repeats,
    )
    output = pathlib.Path(FLAGS.output_dir)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options, pathlib.Path(folder))
    peak = peak_flops()
    write_latency(output, rows, options, peak, FLAGS.overwrite)
    print(latency_table(rows, peak))
    print(f"float32 matrix product: {peak / 1e9:.0f} GFLOP/s. {output}")


if __name__ == "__main__":
    cli.run(main)
