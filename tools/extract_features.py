"""Extracts global and local features of images into files or a store.

The images are those of a folder (--images_dir), of a list
(--list_images_path), or the query or index images of a data set
(--dataset_file_path and --images_dir).
"""

import functools

from absl import flags

from delg_tf.common import cli
from delg_tf.extraction import flags as extraction_flags
from delg_tf.features.compact.formats import GLOBAL_FORMATS, LOCAL_FORMATS

FLAGS = flags.FLAGS

extraction_flags.define_config_flags()
extraction_flags.define_network_flags()
extraction_flags.define_image_flags()
extraction_flags.define_output_flags()
flags.DEFINE_enum(
    "local_features_extension",
    ".delg_local",
    [".delg_local", ".delf"],
    "Of the files of local features; the content is the same. The other tools "
    "look for .delg_local, the official DELF examples for .delf.",
)
flags.DEFINE_enum(
    "local_format",
    None,
    LOCAL_FORMATS,
    "Of local features. In a folder, packed files (.delg_packed) take the "
    "place of the official ones. A feature of 128 numbers takes 528, 266, 138 "
    "or 26 bytes; without the flag 552 in official files, and 528 in a store.",
)
flags.DEFINE_enum(
    "global_format",
    "float32",
    GLOBAL_FORMATS,
    "Of global descriptors in packed files and in a store.",
)
flags.DEFINE_integer(
    "batch_size",
    1,
    "Images of one size that go through the network together.",
    lower_bound=1,
)
extraction_flags.define_worker_flags()
flags.mark_flags_as_required(["delf_config_path"])


def _check_output() -> None:
    """Raises InputError for flags of the output that contradict each other."""
    from delg_tf.common.errors import InputError

    extraction_flags.check_output()
    official = not (FLAGS.feature_store or FLAGS.local_format)
    if official and FLAGS.global_format != "float32":
        raise InputError(
            "Official files are float32: --global_format needs --local_format "
            "or --feature_store."
        )
    if not official and FLAGS.local_features_extension != ".delg_local":
        raise InputError(
            "--local_features_extension is for official files: leave it out, "
            "or --local_format and --feature_store."
        )


def main() -> None:
    """Extracts by the flags."""
    from delg_tf.extraction.config import load_config

    _check_output()
    config = load_config(FLAGS.delf_config_path, FLAGS.model_path)
    items = extraction_flags.listed_images()
    # TensorFlow loads only for inputs that are in order.
    from delg_tf.extraction.extractor import Extractor
    from delg_tf.extraction.outputs import extraction_sink
    from delg_tf.extraction.run import extract_images

    options = extraction_flags.run_options()
    with extraction_sink(
        config,
        FLAGS.output_features_dir,
        FLAGS.feature_store,
        FLAGS.local_format,
        FLAGS.global_format,
        FLAGS.local_features_extension,
    ) as sink:
        summary = extract_images(
            config,
            items,
            sink,
            functools.partial(
                Extractor, runtime=FLAGS.runtime, precision=FLAGS.precision
            ),
            batch_size=FLAGS.batch_size,
            **options,
        )
    print(summary.describe())


if __name__ == "__main__":
    cli.run(main)
