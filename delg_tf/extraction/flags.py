"""Command-line flags of extraction, shared by the tools."""

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.data import image_limits
from delg_tf.extraction.levels.base import PRECISIONS, RUNTIMES
from delg_tf.parallel import flags as parallel_flags

FLAGS = flags.FLAGS


def define_config_flags() -> None:
    """Defines the flags of the configuration and of its model."""
    flags.DEFINE_string(
        "delf_config_path", None, "Extraction configuration (text DelfConfig)."
    )
    flags.DEFINE_string(
        "model_path",
        None,
        "SavedModel to use in place of the configuration's `model_path`.",
    )


def define_network_flags() -> None:
    """Defines the flags of how a network is run."""
    flags.DEFINE_enum(
        "runtime",
        "auto",
        RUNTIMES,
        "What runs the network. auto: the fastest that is safe on this "
        "machine; the log says which.",
    )
    flags.DEFINE_enum(
        "precision",
        "auto",
        PRECISIONS,
        "Of convolutions and matrix products. auto: bfloat16 where the "
        "processor has it in hardware, by OpenVINO; else float32.",
    )


def make_extractor(config: object) -> object:
    """Returns an `Extractor` of a configuration, run as the flags say."""
    # Loads TensorFlow.
    from delg_tf.extraction.extractor import Extractor

    return Extractor(config, runtime=FLAGS.runtime, precision=FLAGS.precision)


def define_image_flags() -> None:
    """Defines the flags that `listed_images` reads."""
    flags.DEFINE_string(
        "images_dir", None, "Folder of images, searched with its subfolders."
    )
    flags.DEFINE_string(
        "list_images_path",
        None,
        "Text file with an image path a line, relative to --images_dir if "
        "given.",
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
    image_limits.define_flag()


def listed_images() -> list:
    """Returns the `ImageItem`s that the flags name.

    Raises:
        InputError: the flags name none, or files are missing or damaged.
    """
    from delg_tf.extraction import image_list

    if FLAGS.dataset_file_path:
        if not FLAGS.images_dir:
            raise InputError("--dataset_file_path needs --images_dir.")
        return image_list.images_of_dataset(
            FLAGS.dataset_file_path,
            FLAGS.images_dir,
            FLAGS.image_set,
            FLAGS.crop_queries,
        )
    if FLAGS.list_images_path:
        return image_list.images_in_list(
            FLAGS.list_images_path, FLAGS.images_dir
        )
    if FLAGS.images_dir:
        return image_list.images_in_folder(FLAGS.images_dir)
    raise InputError(
        "Name the images: --images_dir, --list_images_path or "
        "--dataset_file_path."
    )


def define_output_flags() -> None:
    """Defines the two flags of the output's place."""
    flags.DEFINE_string("output_features_dir", None, "Folder of feature files.")
    flags.DEFINE_string(
        "feature_store",
        None,
        "In place of --output_features_dir: one file for all images, to which "
        "further images can be added (any name; Arrow calls such files "
        ".arrows).",
    )


def check_output() -> None:
    """Raises InputError unless the flags name one place."""
    if bool(FLAGS.output_features_dir) == bool(FLAGS.feature_store):
        raise InputError("Pass --output_features_dir or --feature_store.")


def define_worker_flags() -> None:
    """Defines the flags that `run_options` reads."""
    flags.DEFINE_integer(
        "memory_limit_mib",
        None,
        "MiB that a process may take in all. Fewer images are then decoded, "
        "kept waiting and put through the network at a time; those that do not "
        "fit even alone are left out and reported.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "num_workers",
        1,
        "Processes on this machine (--runner=local): one for each GPU. A CPU "
        "is kept busy by one; several share its cores.",
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


def run_options() -> dict:
    """Returns the flags as arguments of `run_extraction`.

    Raises:
        InputError: the runner is missing or unknown.
    """
    from delg_tf.parallel.choice import local_runner, make_runner

    limit = FLAGS.memory_limit_mib
    return {
        "max_image_pixels": FLAGS.max_image_pixels,
        "memory_limit": None if limit is None else limit << 20,
        "runner": make_runner(
            FLAGS.runner,
            FLAGS.runner_options,
            FLAGS.output_features_dir or ".",
            local_runner(FLAGS.num_workers),
        ),
        "images_per_shard": FLAGS.images_per_shard,
    }
