"""Searches by aggregated local features, or re-ranks a global search by them.

Without --search_results all index images are searched; with it the first
--num_to_aggregate of each list are put in the order of their aggregated
similarity. --rerank then verifies geometrically, as in
tools/search_features.py.
"""

from collections.abc import Sequence

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.retrieval import aggregated_flags
from delg_tf.retrieval import flags as retrieval_flags

FLAGS = flags.FLAGS

aggregated_flags.define_aggregated_flags()
flags.DEFINE_string(
    "index_dir",
    None,
    "Inverted index made by tools/build_aggregated_index.py, in place of "
    "--index_aggregation_dir.",
)
flags.DEFINE_string(
    "search_results",
    None,
    "Results of a global search by tools/search_features.py, to be re-ranked; "
    "needs --index_aggregation_dir.",
)
flags.DEFINE_integer(
    "num_to_aggregate",
    100,
    "With --search_results: images of each query that are re-ranked.",
)
flags.DEFINE_string(
    "query_names_file", None, "Text file with names of queries, one a line."
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth in the Revisited Oxford/Paris format (.mat or .pkl), whose "
    "queries are searched. Without this and the last: all queries.",
)
flags.DEFINE_integer(
    "num_results",
    0,
    "Images in each list; 0: the whole index, as the evaluation needs it.",
)
flags.DEFINE_bool("rerank", False, "Re-rank by geometric verification.")
flags.DEFINE_string(
    "query_features_dir", None, "With --rerank: local features of the queries."
)
flags.DEFINE_string("index_features_dir", None, "The same of the index images.")
flags.DEFINE_string("output", None, "File (.npz) to write the results to.")
flags.DEFINE_bool("overwrite", False, "Replace the file --output.")
flags.DEFINE_integer(
    "print_queries", 5, "The lists are printed for at most so many queries."
)
flags.DEFINE_integer("print_top", 10, "Images printed for each query.")
flags.mark_flags_as_required(["query_aggregation_dir", "output"])
retrieval_flags.define_reranking_flags()


def _check_flags() -> None:
    if bool(FLAGS.index_dir) == bool(FLAGS.index_aggregation_dir):
        raise InputError("Pass --index_dir or --index_aggregation_dir.")
    if FLAGS.search_results and not FLAGS.index_aggregation_dir:
        raise InputError("--search_results needs --index_aggregation_dir.")
    if FLAGS.rerank and not (
        FLAGS.query_features_dir and FLAGS.index_features_dir
    ):
        raise InputError(
            "--rerank needs --query_features_dir and --index_features_dir."
        )
    if FLAGS.query_names_file and FLAGS.dataset_file_path:
        raise InputError(
            "Pass --query_names_file or --dataset_file_path, not both."
        )


def _query_names() -> Sequence[str] | None:
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.retrieval.listing import read_names

    if FLAGS.query_names_file:
        return read_names(FLAGS.query_names_file)
    if FLAGS.dataset_file_path:
        return load_ground_truth(FLAGS.dataset_file_path).query_names
    return None


def main() -> None:
    """Reads the flags, searches, and prints the lists."""
    from delg_tf.aggregation.folder import AggregatedFolder
    from delg_tf.aggregation.inverted_index import InvertedIndex
    from delg_tf.common.files import refuse_existing
    from delg_tf.retrieval import aggregated_search
    from delg_tf.retrieval.feature_store import FeatureStore
    from delg_tf.retrieval.listing import ranked_table
    from delg_tf.retrieval.rerank import rerank_features
    from delg_tf.retrieval.results import SearchResults

    _check_flags()
    refuse_existing(FLAGS.output, FLAGS.overwrite)
    rerank_config = retrieval_flags.rerank_config()
    config = aggregated_flags.config()
    queries = AggregatedFolder(FLAGS.query_aggregation_dir, config)
    if FLAGS.index_dir:
        index = InvertedIndex(FLAGS.index_dir)
    else:
        index = AggregatedFolder(FLAGS.index_aggregation_dir, config)
    if FLAGS.search_results:
        results = aggregated_search.rerank_aggregated(
            SearchResults.load(FLAGS.search_results),
            queries,
            index,
            FLAGS.num_to_aggregate,
        )
    else:
        results = aggregated_search.search_aggregated(
            queries, index, _query_names(), None, FLAGS.num_results or None
        )
    if FLAGS.rerank:
        results = rerank_features(
            results,
            FeatureStore(FLAGS.query_features_dir),
            FeatureStore(FLAGS.index_features_dir),
            rerank_config,
        )
    results.save(FLAGS.output, FLAGS.overwrite)
    if len(results.query_names) <= FLAGS.print_queries:
        print(ranked_table(results, FLAGS.print_top))
    print(
        f"{FLAGS.output}: {len(results.query_names)} queries, "
        f"{results.ranks.shape[1]} of {len(results.index_names)} images each."
    )


if __name__ == "__main__":
    cli.run(main)
