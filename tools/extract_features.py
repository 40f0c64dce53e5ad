"""Extracts global and local features of images into files or a store.

The images are those of a folder (--images_dir), of a list
(--list_images_path), or the query or index images of a data set
(--dataset_file_path and --images_dir).
"""

import functools

from absl import flags

from delg_tf.common import cli
from delg_tf.data import image_limits
from delg_tf.extraction.levels.base import PRECISIONS, RUNTIMES
from delg_tf.features.compact.formats import GLOBAL_FORMATS, LOCAL_FORMATS
from delg_tf.parallel import flags as parallel_flags

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "delf_config_path", None, "Extraction configuration (text DelfConfig)."
)
flags.DEFINE_string(
    "model_path",
    None,
    "SavedModel to use in place of the configuration's `model_path`.",
)
flags.DEFINE_string(
    "images_dir", None, "Folder of images, searched with its subfolders."
)
flags.DEFINE_string(
    "list_images_path",
    None,
    "Text file with an image path a line, relative to --images_dir if given.",
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth of a data set (.mat or .pkl in the Revisited format).",
)
flags.DEFINE_enum(
    "image_set",
    "query",
    ["query", "index"],
    "With --dataset_file_path: which of its images.",
)
flags.DEFINE_bool(
    "crop_queries",
    True,
    "Crop query images to their box, as the protocol demands.",
)
flags.DEFINE_string("output_features_dir", None, "Folder of feature files.")
flags.DEFINE_enum(
    "local_features_extension",
    ".delg_local",
    [".delg_local", ".delf"],
    "Of the files of local features; the content is the same. The other tools "
    "look for .delg_local, the official DELF examples for .delf.",
)
flags.DEFINE_string(
    "feature_store",
    None,
    "In place of --output_features_dir: one file for all images, to which "
    "further images can be added (any name; Arrow calls such files .arrows).",
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
flags.DEFINE_enum(
    "runtime",
    "auto",
    RUNTIMES,
    "What runs the network. auto: the fastest that is safe on this machine; "
    "the log says which.",
)
flags.DEFINE_enum(
    "precision",
    "auto",
    PRECISIONS,
    "Of convolutions and matrix products. auto: bfloat16 where the processor "
    "has it in hardware, by OpenVINO; else float32.",
)
flags.DEFINE_integer(
    "batch_size",
    1,
    "Images of one size that go through the network together.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "memory_limit_mib",
    None,
    "MiB that a process may take in all. Fewer images are then decoded, kept "
    "waiting and put through the network at a time; those that do not fit "
    "even alone are left out and reported.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "num_workers",
    1,
    "Processes on this machine (--runner=local): one for each GPU. A CPU is "
    "kept busy by one; several share its cores.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "images_per_shard",
    None,
    "Images that a worker gets at a time; by default up to 2,000, fewer if "
    "there are more workers.",
    lower_bound=1,
)
parallel_flags.define_flags()
image_limits.define_flag()
flags.mark_flags_as_required(["delf_config_path"])


def _check_output() -> None:
    """Raises InputError for flags of the output that contradict each other."""
    from delg_tf.common.errors import InputError

    if bool(FLAGS.output_features_dir) == bool(FLAGS.feature_store):
        raise InputError("Pass --output_features_dir or --feature_store.")
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
    from delg_tf.common.errors import InputError
    from delg_tf.extraction import image_list
    from delg_tf.extraction.config import load_config

    _check_output()
    config = load_config(FLAGS.delf_config_path, FLAGS.model_path)
    if FLAGS.dataset_file_path:
        if not FLAGS.images_dir:
            raise InputError("--dataset_file_path needs --images_dir.")
        items = image_list.images_of_dataset(
            FLAGS.dataset_file_path,
            FLAGS.images_dir,
            FLAGS.image_set,
            FLAGS.crop_queries,
        )
    elif FLAGS.list_images_path:
        items = image_list.images_in_list(
            FLAGS.list_images_path, FLAGS.images_dir
        )
    elif FLAGS.images_dir:
        items = image_list.images_in_folder(FLAGS.images_dir)
    else:
        raise InputError(
            "Name the images: --images_dir, --list_images_path or "
            "--dataset_file_path."
        )
    # TensorFlow loads only for inputs that are in order.
    from delg_tf.extraction.extractor import Extractor
    from delg_tf.extraction.outputs import extraction_sink
    from delg_tf.extraction.run import extract_images
    from delg_tf.parallel.choice import local_runner, make_runner

    runner = make_runner(
        FLAGS.runner,
        FLAGS.runner_options,
        FLAGS.output_features_dir or ".",
        local_runner(FLAGS.num_workers),
    )
    limit = FLAGS.memory_limit_mib
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
            max_image_pixels=FLAGS.max_image_pixels,
            memory_limit=None if limit is None else limit << 20,
            runner=runner,
            images_per_shard=FLAGS.images_per_shard,
        )
    print(
        f"{summary.extracted} images extracted "
        f"({summary.images_per_second:.1f} a second), {summary.empty} of them "
        f"too small to have features; {summary.reused} were there, "
        f"{len(summary.skipped)} skipped."
    )


if __name__ == "__main__":
    cli.run(main)
