"""Command-line flags of search by aggregated features, shared by the tools."""

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import RevisitedGroundTruth
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig
from delg_tf.retrieval.results import SearchResults

FLAGS = flags.FLAGS


def define_aggregated_flags() -> None:
    """Defines the flags that `are_given` and `search_by_flags` read."""
    flags.DEFINE_string(
        "query_aggregation_dir",
        None,
        "Folder of the queries' aggregated files, made by "
        "tools/aggregate_features.py or by the official programs.",
    )
    flags.DEFINE_string(
        "index_aggregation_dir", None, "The same of the index images."
    )
    flags.DEFINE_string(
        "aggregation_config_path",
        None,
        "Text AggregationConfig message of the index images, for folders of "
        "the official programs and for another alpha, tau or "
        "use_l2_normalization.",
    )


def are_given() -> bool:
    """Whether aggregated images are to be searched.

    Raises:
        InputError: only one of the two folders is given.
    """
    both = (FLAGS.query_aggregation_dir, FLAGS.index_aggregation_dir)
    if any(both) and not all(both):
        raise InputError(
            "Pass both --query_aggregation_dir and --index_aggregation_dir."
        )
    return all(both)


def config() -> AggregationConfig | None:
    """Returns the configuration that the flag names, if it does.

    Raises:
        InputError: it is missing or wrong.
    """
    from delg_tf.aggregation.config import load_aggregation_config

    path = FLAGS.aggregation_config_path
    return load_aggregation_config(path) if path else None


def search_by_flags(ground_truth: RevisitedGroundTruth) -> SearchResults:
    """Searches the index images of a ground truth for its queries.

    Raises:
        InputError: files are missing or damaged, or do not fit.
    """
    from delg_tf.aggregation.folder import AggregatedFolder
    from delg_tf.retrieval.aggregated_search import search_aggregated

    return search_aggregated(
        AggregatedFolder(FLAGS.query_aggregation_dir, config()),
        AggregatedFolder(FLAGS.index_aggregation_dir, config()),
        ground_truth.query_names,
        ground_truth.index_names,
    )
