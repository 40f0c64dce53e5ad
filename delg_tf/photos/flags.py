"""Command-line flags of the tools for own photographs."""

import functools
from collections.abc import Callable

from absl import flags

from delg_tf.data import image_limits
from delg_tf.extraction.levels.base import PRECISIONS, RUNTIMES
from delg_tf.protos import delf_config_pb2

FLAGS = flags.FLAGS


def define_extraction_flags() -> None:
    """Defines the flags that say how photographs are extracted."""
    flags.DEFINE_string(
        "index", None, "Folder of the index, or its place on Milvus."
    )
    flags.DEFINE_string(
        "delf_config_path",
        None,
        "Extraction configuration (text DelfConfig); an index remembers the "
        "one that it was made with.",
    )
    flags.DEFINE_string(
        "model_path",
        None,
        "With --delf_config_path: SavedModel to use in place of the "
        "configuration's `model_path`.",
    )
    flags.DEFINE_enum(
        "runtime",
        "auto",
        RUNTIMES,
        "What runs the network. auto: the fastest that is safe on this "
        "machine.",
    )
    flags.DEFINE_enum(
        "precision",
        "auto",
        PRECISIONS,
        "Of convolutions and matrix products. auto: bfloat16 where the "
        "processor has it in hardware, by OpenVINO; else float32.",
    )
    image_limits.define_flag()
    flags.mark_flag_as_required("index")


def extraction_config() -> delf_config_pb2.DelfConfig | None:
    """Returns the configuration that the flags name, or None.

    Raises:
        InputError: it is missing or damaged.
    """
    from delg_tf.common.errors import InputError
    from delg_tf.extraction.config import load_config

    if FLAGS.delf_config_path:
        return load_config(FLAGS.delf_config_path, FLAGS.model_path)
    if FLAGS.model_path:
        raise InputError("--model_path needs --delf_config_path.")
    return None


def make_extractor() -> Callable:
    """Returns what loads the model as the flags say."""

    def load(config: delf_config_pb2.DelfConfig, **options: str) -> object:
        # Loads TensorFlow, which an index that is up to date does not need.
        from delg_tf.extraction.extractor import Extractor

        return Extractor(config, **options)

    return functools.partial(
        load, runtime=FLAGS.runtime, precision=FLAGS.precision
    )
