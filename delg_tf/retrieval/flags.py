"""Command-line flags of verification and re-ranking, shared by the tools."""

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.matching.flags import define_matching_flags, matching_config
from delg_tf.retrieval.rerank import RerankConfig

FLAGS = flags.FLAGS


def define_verification_flags() -> None:
    """Defines the flags of matching, and the one that `num_threads` reads."""
    define_matching_flags()
    flags.DEFINE_integer(
        "num_threads",
        0,
        "Pairs verified at the same time; 0: one a processor. The result does "
        "not depend on it.",
    )


def define_reranking_flags() -> None:
    """Defines the flags that `rerank_config` reads."""
    define_verification_flags()
    flags.DEFINE_integer(
        "num_to_rerank", 100, "Images of each query that are verified."
    )


def num_threads() -> int | None:
    """Returns the number of threads that the flag says; None: all processors.

    Raises:
        InputError: it is negative.
    """
    if FLAGS.num_threads < 0:
        raise InputError(
            f"--num_threads must be at least 0, but is {FLAGS.num_threads}."
        )
    return FLAGS.num_threads or None


def rerank_config() -> RerankConfig:
    """Returns what the flags say.

    Raises:
        InputError: a flag is out of range.
    """
    return RerankConfig(
        matching=matching_config(),
        num_to_rerank=FLAGS.num_to_rerank,
        num_threads=num_threads(),
    )
