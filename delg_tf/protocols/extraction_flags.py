"""Command-line flags of the extraction in whole evaluations."""

from typing import Any

from absl import flags

from delg_tf.data import image_limits
from delg_tf.extraction import flags as extraction_flags

FLAGS = flags.FLAGS


def define_extraction_flags() -> None:
    """Defines the flags that `extraction_settings` reads."""
    flags.DEFINE_string("model", None, "Folder of an export.")
    flags.DEFINE_string(
        "extraction",
        None,
        "Extraction configuration (text DelfConfig). Without it the paper's: "
        "seven scales for local and three for global features, at most 1,024 "
        "pixels and 1,000 local features, the median score as threshold.",
    )
    extraction_flags.define_network_flags()
    image_limits.define_flag()
    flags.DEFINE_integer(
        "batch_size",
        1,
        "Images of one size that go through the network together.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "num_workers",
        1,
        "Processes that extract, one for each GPU; several write a file an "
        "image, not one file.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "memory_limit_mib",
        None,
        "MiB that an extracting process may take in all; fewer images are "
        "then held at a time.",
        lower_bound=1,
    )


def extraction_settings(
    local_format: str | None, global_format: str, single_file: bool
) -> Any:
    """Returns the `ExtractionSettings` that the flags say.

    Args:
        local_format: see `ExtractionSettings`, as are the others.
        global_format: likewise.
        single_file: likewise.

    Raises:
        InputError: model or configuration are missing or damaged, or formats
            contradict each other.
    """
    from delg_tf.parallel.choice import local_runner
    from delg_tf.protocols.extraction_settings import (
        ExtractionSettings,
        evaluation_config,
    )

    limit = FLAGS.memory_limit_mib
    return ExtractionSettings(
        evaluation_config(FLAGS.extraction, FLAGS.model),
        FLAGS.runtime,
        FLAGS.precision,
        FLAGS.batch_size,
        local_format,
        global_format,
        single_file,
        {
            "max_image_pixels": FLAGS.max_image_pixels,
            "memory_limit": None if limit is None else limit << 20,
            "runner": local_runner(FLAGS.num_workers),
        },
    )
