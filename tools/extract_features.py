"""Extracts global and local features of images into feature files.

The images are those of a folder (--images_dir), of a list
(--list_images_path), or the query or index images of a data set
(--dataset_file_path and --images_dir).
"""

import functools

from absl import flags

from delg_tf.common import cli
from delg_tf.data import image_limits
from delg_tf.extraction.levels.base import PRECISIONS, RUNTIMES
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
flags.mark_flags_as_required(["delf_config_path", "output_features_dir"])


def main() -> None:
    """Extracts by the flags."""
    from delg_tf.common.errors import InputError
    from delg_tf.extraction import image_list
    from delg_tf.extraction.config import load_config

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
    from delg_tf.extraction.run import extract_images
    from delg_tf.parallel.choice import local_runner, make_runner

    summary = extract_images(
        config,
        items,
        FLAGS.output_features_dir,
        functools.partial(
            Extractor, runtime=FLAGS.runtime, precision=FLAGS.precision
        ),
        local_suffix=FLAGS.local_features_extension,
        batch_size=FLAGS.batch_size,
        max_image_pixels=FLAGS.max_image_pixels,
        runner=make_runner(
            FLAGS.runner,
            FLAGS.runner_options,
            FLAGS.output_features_dir,
            local_runner(FLAGS.num_workers),
        ),
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
