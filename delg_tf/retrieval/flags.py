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
    flags.DEFINE_integer(
        "num_processes",
        0,
        "Processes that verify pairs in place of threads, for machines with "
        "many processors; 0: none. They take seconds to start.",
    )


def define_feature_flags() -> None:
    """Defines the flags of where features of queries and of the index are."""
    flags.DEFINE_string(
        "query_features_dir",
        None,
        "Folder of the queries' feature files, official or packed, or file of "
        "a store; --rerank needs local features in it.",
    )
    flags.DEFINE_string(
        "index_features_dir",
        None,
        "The same of the index images, for --rerank; without it the index, or "
        "if that keeps no local features the folder or store that it was "
        "built from.",
    )


def define_local_feature_flags() -> None:
    """Defines the flags that `local_feature_paths` reads."""
    flags.DEFINE_string(
        "query_local_features_dir",
        None,
        "Where the queries' local features are, if not with their global "
        "descriptors: a folder, a store, or features from elsewhere.",
    )
    flags.DEFINE_string(
        "index_local_features_dir", None, "The same of the index images."
    )


def local_feature_paths() -> tuple[str, str] | None:
    """Returns the two flags; None if the global features' places hold both.

    Raises:
        InputError: only one is given.
    """
    paths = (FLAGS.query_local_features_dir, FLAGS.index_local_features_dir)
    if any(paths) and not all(paths):
        raise InputError(
            "Pass both --query_local_features_dir and "
            "--index_local_features_dir."
        )
    return paths if all(paths) else None


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
        num_processes=FLAGS.num_processes or None,
    )
