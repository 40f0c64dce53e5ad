"""Command-line flags of the tools for own photographs."""

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.data import image_limits
from delg_tf.extraction import flags as extraction_flags
from delg_tf.protos import delf_config_pb2

FLAGS = flags.FLAGS


def define_photo_flags() -> None:
    """Defines the flags of the index and of how photographs are extracted.

    An index remembers the configuration that it was made with.
    """
    flags.DEFINE_string(
        "index", None, "Folder of the index, or its place on Milvus."
    )
    extraction_flags.define_config_flags()
    extraction_flags.define_network_flags()
    image_limits.define_flag()
    flags.mark_flag_as_required("index")


def extraction_config() -> delf_config_pb2.DelfConfig | None:
    """Returns the configuration that the flags name, or None.

    Raises:
        InputError: it is missing or damaged.
    """
    from delg_tf.extraction.config import load_config

    if FLAGS.delf_config_path:
        return load_config(FLAGS.delf_config_path, FLAGS.model_path)
    if FLAGS.model_path:
        raise InputError("--model_path needs --delf_config_path.")
    return None
