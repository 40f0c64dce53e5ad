r"""Adds ONNX and LiteRT files to an exported model.

  python tools/convert_export.py --model_path=MODEL --formats=onnx

They lie in MODEL/assets.extra, a folder a format, and carry thresholds, scales
and class labels. Each is run on photographs and compared with the SavedModel;
what differs is not kept. tools/export_model.py --formats makes them at once.
"""

from absl import flags

from delg_tf.common import cli
from delg_tf.export import format_flags

FLAGS = flags.FLAGS

flags.DEFINE_string("model_path", None, "SavedModel of tools/export_model.py.")
flags.DEFINE_bool("overwrite", False, "Replace earlier files.")
format_flags.define(["onnx"])
flags.mark_flags_as_required(["model_path"])


def main() -> None:
    """Converts by the flags, and prints the differences."""
    from delg_tf.export.convert import convert_export
    from delg_tf.export.formats import FormatOptions

    for agreement in convert_export(
        FLAGS.model_path,
        FormatOptions(**format_flags.values()),
        overwrite=FLAGS.overwrite,
    ):
        print(agreement)


if __name__ == "__main__":
    cli.run(main)
