"""Searches an index for features in files, and re-ranks them geometrically."""

from collections.abc import Sequence

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.retrieval import flags as retrieval_flags
from delg_tf.retrieval.ranking import flags as ranking_flags

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "index_dir",
    None,
    "Index made by tools/build_index.py, in a folder or on Milvus.",
)
retrieval_flags.define_feature_flags()
flags.DEFINE_string(
    "query_local_features_dir",
    None,
    "The queries' local features for --rerank, if they are not in "
    "--query_features_dir. Those of the index images: --index_features_dir.",
)
flags.DEFINE_list(
    "query_names",
    None,
    "Names of the queries, separated by commas. Without this and the next "
    "two: all in --query_features_dir.",
)
flags.DEFINE_string(
    "query_names_file", None, "Text file with names of queries, one a line."
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth in the Revisited Oxford/Paris format (.mat or .pkl), whose "
    "queries are searched.",
)
flags.DEFINE_string("output", None, "File (.npz) to write the results to.")
flags.DEFINE_string(
    "where",
    None,
    "Search among the images that pass a filter, like: label == 7 and city in "
    '["Paris"] and near(48.86, 2.29, 5).',
)
flags.DEFINE_string(
    "output_csv",
    None,
    "Also write the lists as a GLDv2 retrieval prediction: a CSV file with the "
    "columns id and images, up to 100 of them.",
)
flags.DEFINE_bool("overwrite", False, "Replace --output and --output_csv.")
flags.DEFINE_bool("rerank", False, "Re-rank by geometric verification.")
flags.DEFINE_integer(
    "num_results",
    0,
    "Images in each list; 0: the whole index, as the evaluation needs it.",
)
flags.DEFINE_integer(
    "print_queries", 5, "The lists are printed for at most so many queries."
)
flags.DEFINE_integer("print_top", 10, "Images printed for each query.")
flags.mark_flags_as_required(["index_dir", "query_features_dir", "output"])
retrieval_flags.define_reranking_flags()
ranking_flags.define_ranking_flags()


def _query_names() -> Sequence[str] | None:
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.retrieval.listing import read_names

    given = (FLAGS.query_names, FLAGS.query_names_file, FLAGS.dataset_file_path)
    if sum(bool(value) for value in given) > 1:
        raise InputError(
            "Pass only one of --query_names, --query_names_file and "
            "--dataset_file_path."
        )
    if FLAGS.query_names_file:
        return read_names(FLAGS.query_names_file)
    if FLAGS.dataset_file_path:
        return load_ground_truth(FLAGS.dataset_file_path).query_names
    return FLAGS.query_names or None


def main() -> None:
    """Reads the flags, searches, and prints the lists."""
    from delg_tf.common.files import refuse_existing
    from delg_tf.retrieval.feature_store import FeatureStore
    from delg_tf.retrieval.index.choice import open_index
    from delg_tf.retrieval.index.index_features import local_features_of
    from delg_tf.retrieval.listing import ranked_table
    from delg_tf.retrieval.prediction_csv import write_retrieval_csv
    from delg_tf.retrieval.ranking.pipeline import rank_features
    from delg_tf.retrieval.rerank import rerank

    refuse_existing(FLAGS.output, FLAGS.overwrite)
    if FLAGS.output_csv:
        refuse_existing(FLAGS.output_csv, FLAGS.overwrite)
    config = retrieval_flags.rerank_config()
    ranking = ranking_flags.ranking_config()
    index = open_index(FLAGS.index_dir)
    store = FeatureStore(FLAGS.query_features_dir)
    counter = None
    if FLAGS.rerank:
        index_store = FeatureStore(
            FLAGS.index_features_dir or local_features_of(index)
        )
        local_store = store
        if FLAGS.query_local_features_dir:
            local_store = FeatureStore(FLAGS.query_local_features_dir)
        counter = config.counter(local_store, index_store)
    results = rank_features(
        index,
        store,
        _query_names(),
        FLAGS.num_results or None,
        ranking,
        counter,
        config.num_to_rerank,
        FLAGS.where,
    )
    if counter is not None:
        results = rerank(results, counter, config.num_to_rerank)
    if FLAGS.output_csv:
        write_retrieval_csv(FLAGS.output_csv, results, FLAGS.overwrite)
    results.save(FLAGS.output, FLAGS.overwrite)
    if len(results.query_names) <= FLAGS.print_queries:
        print(ranked_table(results, FLAGS.print_top))
    print(
        f"{FLAGS.output}: {len(results.query_names)} queries, "
        f"{results.ranks.shape[1]} of {len(index)} images each."
    )


if __name__ == "__main__":
    cli.run(main)
