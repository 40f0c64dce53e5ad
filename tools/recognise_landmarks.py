"""Names the landmark of each query, by votes of the index images it finds.

Each of the first images votes for its label with min(inliers, 70) / 70 + 0.25 *
cosine, or with the cosine alone without --rerank. The output is a prediction
as Google Landmarks v2 has it: a CSV file with the columns id and landmarks,
the latter a label and its confidence. A run that was killed goes on.
"""

from absl import flags

from delg_tf.common import cli
from delg_tf.retrieval import flags as retrieval_flags
from delg_tf.retrieval.ranking import flags as ranking_flags
from delg_tf.retrieval.recognition import flags as recognition_flags

FLAGS = flags.FLAGS

flags.DEFINE_string("index_dir", None, "Index made by tools/build_index.py.")
flags.DEFINE_string(
    "labels_file",
    None,
    "CSV with the labels of the index images: train.csv or train_clean.csv of "
    "Google Landmarks v2, or one with the columns id and label, or path and "
    "label.",
)
retrieval_flags.define_feature_flags()
flags.DEFINE_string(
    "query_names_file",
    None,
    "Text file with names of queries, one a line; without it all in "
    "--query_features_dir.",
)
flags.DEFINE_string("output", None, "CSV file to write.")
flags.DEFINE_bool("overwrite", False, "Replace the file --output.")
flags.DEFINE_bool(
    "full_names",
    False,
    "Identifiers are whole names of features; without it their last part, "
    "which is how GLDv2 calls images.",
)
flags.DEFINE_bool("rerank", False, "Verify geometrically, and count inliers.")
flags.mark_flags_as_required(
    ["index_dir", "labels_file", "query_features_dir", "output"]
)
recognition_flags.define_vote_flags()
retrieval_flags.define_reranking_flags()
ranking_flags.define_ranking_flags()


def main() -> None:
    """Reads the flags, recognises, and writes the file."""
    from delg_tf.retrieval.feature_store import FeatureStore
    from delg_tf.retrieval.index.choice import open_index
    from delg_tf.retrieval.index.index_features import local_features_of
    from delg_tf.retrieval.listing import read_names
    from delg_tf.retrieval.recognition.labels import read_index_labels
    from delg_tf.retrieval.recognition.run import Recogniser, recognise_features

    config = recognition_flags.recognition_config()
    ranking = ranking_flags.ranking_config()
    reranking = retrieval_flags.rerank_config() if FLAGS.rerank else None
    names = None
    if FLAGS.query_names_file:
        names = read_names(FLAGS.query_names_file)
    index = open_index(FLAGS.index_dir)
    labels = read_index_labels(FLAGS.labels_file, index.names)
    index_store = None
    if FLAGS.rerank:
        index_store = FeatureStore(
            FLAGS.index_features_dir or local_features_of(index)
        )
    query_store = FeatureStore(FLAGS.query_features_dir)
    recogniser = Recogniser(
        index, labels, query_store, index_store, config, ranking, reranking
    )
    count = recognise_features(
        recogniser, FLAGS.output, names, FLAGS.overwrite, FLAGS.full_names
    )
    print(f"{FLAGS.output}: {count} queries recognised.")


if __name__ == "__main__":
    cli.run(main)
