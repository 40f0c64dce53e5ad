"""Aggregates local features to VLAD, ASMK or ASMK*, a file for each image.

The files are the official ones: .vlad, .asmk, .asmk_star, and with
use_regional_aggregation .rvlad, .rasmk, .rasmk_star. Images that are there
stay as they are; damaged ones are listed in skipped_images.csv.
"""

from collections.abc import Callable, Sequence

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "features",
    None,
    "Local features: folder of feature files, official or packed, or file of "
    "a store.",
)
flags.DEFINE_string(
    "aggregation_config_path", None, "Text AggregationConfig message."
)
flags.DEFINE_string(
    "codebook_path",
    None,
    "Codebook to use in place of the configuration's: a file of "
    "tools/train_codebook.py, or the prefix of an official checkpoint.",
)
flags.DEFINE_string("output_dir", None, "Folder for the aggregated files.")
flags.DEFINE_string(
    "names_file",
    None,
    "Text file with the names of the images, one a line. Without it and "
    "without --dataset_file_path: all that have local features.",
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth in the Revisited Oxford/Paris format (.mat or .pkl), whose "
    "images of --image_set are aggregated.",
)
flags.DEFINE_enum(
    "image_set", "index", ["query", "index"], "With --dataset_file_path."
)
flags.DEFINE_string(
    "index_mapping_path",
    None,
    "Regional: CSV file name,index_image_id,box_id of the official programs, "
    "which says what files of --features are the regions of an image. The ids "
    "are places in --names_file or among the index images.",
)
flags.DEFINE_string(
    "boxes_dir",
    None,
    "Regional: folder of detected boxes (.boxes). Each takes those of the "
    "image's own features that lie in it; images without boxes are one region.",
)
flags.DEFINE_string(
    "images_dir", None, "With --boxes_dir: the images, for their sizes."
)
flags.DEFINE_float(
    "box_score_threshold", 0.1, "Boxes of at least this score are taken."
)
flags.DEFINE_bool(
    "vlad_as_global",
    False,
    "Write VLAD as global descriptors (.delg_global), which "
    "tools/build_index.py takes.",
)
flags.mark_flags_as_required(
    ["features", "aggregation_config_path", "output_dir"]
)


def _names(source: object) -> Sequence[str]:
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.retrieval.listing import read_names

    if FLAGS.names_file and FLAGS.dataset_file_path:
        raise InputError("Pass --names_file or --dataset_file_path, not both.")
    if FLAGS.names_file:
        return read_names(FLAGS.names_file)
    if FLAGS.dataset_file_path:
        truth = load_ground_truth(FLAGS.dataset_file_path)
        queries = FLAGS.image_set == "query"
        return truth.query_names if queries else truth.index_names
    if FLAGS.index_mapping_path:
        raise InputError(
            "--index_mapping_path needs --names_file or --dataset_file_path."
        )
    return source.names("local")


def _reader(source: object, names: Sequence[str], regional: bool) -> Callable:
    """Returns the reader of `aggregation.run` that the flags ask for."""
    from delg_tf.aggregation import regions, run
    from delg_tf.aggregation.image_sizes import sizes_in_folder

    if regional != bool(FLAGS.index_mapping_path or FLAGS.boxes_dir):
        raise InputError(
            "use_regional_aggregation goes with --index_mapping_path or "
            "--boxes_dir, and without it neither is used."
        )
    if not regional:
        return run.whole_images(source)
    if FLAGS.index_mapping_path:
        if FLAGS.boxes_dir:
            raise InputError("Pass --index_mapping_path or --boxes_dir.")
        return run.files_of_regions(
            source, regions.read_index_mapping(FLAGS.index_mapping_path, names)
        )
    if not FLAGS.images_dir:
        raise InputError("--boxes_dir needs --images_dir.")
    return run.boxes_of_images(
        source,
        FLAGS.boxes_dir,
        sizes_in_folder(FLAGS.images_dir),
        FLAGS.box_score_threshold,
    )


def _regions() -> str:
    """Returns where regions come from."""
    if FLAGS.index_mapping_path:
        return "features of each region"
    if FLAGS.boxes_dir:
        return f"features in boxes of at least {FLAGS.box_score_threshold:g}"
    return ""


def main() -> None:
    """Reads the flags and aggregates."""
    from delg_tf.aggregation.aggregator import Aggregator
    from delg_tf.aggregation.codebook import load_codebook
    from delg_tf.aggregation.config import load_aggregation_config
    from delg_tf.aggregation.folder import AggregatedWriter
    from delg_tf.aggregation.run import aggregate_images
    from delg_tf.features.storage.choice import open_source

    config = load_aggregation_config(
        FLAGS.aggregation_config_path, FLAGS.codebook_path
    )
    source = open_source(FLAGS.features)
    names = _names(source)
    read = _reader(source, names, config.use_regional_aggregation)
    if not config.codebook_path:
        raise InputError(
            "Name a codebook: --codebook_path, or codebook_path in "
            f"{FLAGS.aggregation_config_path}."
        )
    aggregator = Aggregator(config, load_codebook(config.codebook_path))
    writer = AggregatedWriter(
        FLAGS.output_dir,
        config,
        aggregator.codebook.identity,
        _regions(),
        FLAGS.vlad_as_global,
    )
    summary = aggregate_images(names, read, aggregator, writer)
    print(
        f"{FLAGS.output_dir}: {summary.written} images aggregated, "
        f"{summary.empty} of them without features; {summary.reused} were "
        f"there, {len(summary.skipped)} skipped."
    )


if __name__ == "__main__":
    cli.run(main)
