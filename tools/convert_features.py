"""Copies features from any place to any other, in any format.

Places are folders of official files (.delg_global, .delg_local, .delf),
folders of packed files (.delg_packed), and single-file stores; and, to read
from, features of other programs: HDF5 files as hloc writes them, and folders of
NumPy files (.npz, .npy, D2-Net's .d2-net, ...). Nothing that is
at the output is overwritten; a copy that was cut off goes on.
"""

from absl import flags

from delg_tf.common import cli
from delg_tf.features.compact.formats import GLOBAL_FORMATS, LOCAL_FORMATS
from delg_tf.features.foreign.options import LAYOUTS, ORIGINS, ForeignOptions

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "features",
    None,
    "Folder of feature files, file of a store, or HDF5 file, to read.",
)
flags.DEFINE_string("output", None, "Folder, or file of a store, to write.")
flags.DEFINE_enum(
    "output_kind",
    None,
    ["official", "packed", "store"],
    "What to write: official files (float32), packed files, or a store.",
)
flags.DEFINE_enum(
    "local_format",
    None,
    LOCAL_FORMATS,
    "Of local features, in packed files and stores. Without it they stay as "
    "they are; official ones are float32.",
)
flags.DEFINE_enum(
    "global_format",
    None,
    GLOBAL_FORMATS,
    "The same of global descriptors.",
)
flags.DEFINE_enum(
    "origin",
    "centre",
    ORIGINS,
    "Of features of other programs: where (0, 0) is, at the centre of the "
    "first pixel (hloc, SuperPoint, D2-Net, OpenCV) or at its corner (COLMAP).",
)
flags.DEFINE_enum(
    "descriptor_layout",
    "auto",
    LAYOUTS,
    "Of features of other programs: rows [N, D], columns [D, N], or as their "
    "shapes say.",
)
flags.DEFINE_bool(
    "packed_bits",
    False,
    "Of features of other programs: uint8 descriptors are bits, eight a "
    "number, as OpenCV's ORB has them.",
)
flags.DEFINE_bool(
    "normalise_descriptors",
    False,
    "Of features of other programs: give descriptors unit length, which int8 "
    "and binary need.",
)
flags.mark_flags_as_required(["features", "output", "output_kind"])


def main() -> None:
    """Reads the flags and copies."""
    from delg_tf.common.errors import InputError
    from delg_tf.features.storage.convert import convert_features

    if FLAGS.output_kind == "official" and (
        FLAGS.local_format or FLAGS.global_format
    ):
        raise InputError(
            "Official files are float32: leave out --local_format and "
            "--global_format."
        )
    foreign = ForeignOptions(
        FLAGS.origin,
        FLAGS.descriptor_layout,
        FLAGS.packed_bits,
        FLAGS.normalise_descriptors,
    )
    summary = convert_features(
        FLAGS.features,
        FLAGS.output,
        FLAGS.output_kind,
        FLAGS.local_format,
        FLAGS.global_format,
        None if foreign == ForeignOptions() else foreign,
    )
    print(
        f"{FLAGS.output}: {summary.converted} images written, "
        f"{summary.reused} were there, {len(summary.skipped)} skipped."
    )


if __name__ == "__main__":
    cli.run(main)
