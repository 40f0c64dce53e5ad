"""Builds an index of global descriptors for tools/search.py."""

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "features_dir",
    None,
    "Folder of feature files, official or packed, or file of a store.",
)
flags.DEFINE_string("index_dir", None, "Folder to write the index to.")
flags.DEFINE_string(
    "names_file",
    None,
    "Text file with the names of the images to index, one a line. Without it "
    "and without --dataset_file_path: all in --features_dir.",
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth in the Revisited Oxford/Paris format (.mat or .pkl), whose "
    "index images are indexed.",
)
flags.DEFINE_bool("overwrite", False, "Replace an index in --index_dir.")
flags.mark_flags_as_required(["features_dir", "index_dir"])


def main() -> None:
    """Reads the flags and builds the index."""
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.retrieval.feature_store import FeatureStore
    from delg_tf.retrieval.listing import read_names
    from delg_tf.retrieval.search import index_features

    if FLAGS.names_file and FLAGS.dataset_file_path:
        raise InputError("Pass --names_file or --dataset_file_path, not both.")
    names = None
    if FLAGS.names_file:
        names = read_names(FLAGS.names_file)
    elif FLAGS.dataset_file_path:
        names = load_ground_truth(FLAGS.dataset_file_path).index_names
    index = index_features(FeatureStore(FLAGS.features_dir), names)
    index.save(FLAGS.index_dir, FLAGS.overwrite)
    print(
        f"{FLAGS.index_dir}: {len(index)} images, descriptors of "
        f"{index.dimension} numbers."
    )


if __name__ == "__main__":
    cli.run(main)
