"""Builds an inverted index of ASMK or ASMK* for tools/search_aggregated.py."""

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "aggregation_dir",
    None,
    "Folder of aggregated files, made by tools/aggregate_features.py or by the "
    "official programs.",
)
flags.DEFINE_string(
    "aggregation_config_path",
    None,
    "Text AggregationConfig message, for folders of the official programs and "
    "for another alpha, tau or use_l2_normalization.",
)
flags.DEFINE_string("index_dir", None, "Folder to write the index to.")
flags.DEFINE_string(
    "names_file",
    None,
    "Text file with the names of the images to index, one a line. Without it "
    "and without --dataset_file_path: all in --aggregation_dir.",
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth in the Revisited Oxford/Paris format (.mat or .pkl), whose "
    "index images are indexed.",
)
flags.DEFINE_bool("overwrite", False, "Replace an index in --index_dir.")
flags.mark_flags_as_required(["aggregation_dir", "index_dir"])


def main() -> None:
    """Reads the flags and builds the index."""
    from delg_tf.aggregation.config import load_aggregation_config
    from delg_tf.aggregation.folder import AggregatedFolder
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.retrieval.aggregated_search import index_folder
    from delg_tf.retrieval.listing import read_names

    if FLAGS.names_file and FLAGS.dataset_file_path:
        raise InputError("Pass --names_file or --dataset_file_path, not both.")
    names = None
    if FLAGS.names_file:
        names = read_names(FLAGS.names_file)
    elif FLAGS.dataset_file_path:
        names = load_ground_truth(FLAGS.dataset_file_path).index_names
    config = None
    if FLAGS.aggregation_config_path:
        config = load_aggregation_config(FLAGS.aggregation_config_path)
    folder = AggregatedFolder(FLAGS.aggregation_dir, config)
    index = index_folder(folder, FLAGS.index_dir, names, FLAGS.overwrite)
    print(
        f"{FLAGS.index_dir}: {len(index)} images, {index.num_postings} visual "
        f"words in them, {index.num_bytes / len(index):.0f} bytes an image."
    )


if __name__ == "__main__":
    cli.run(main)
