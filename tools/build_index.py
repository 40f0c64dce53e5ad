"""Builds an index of features in files, or adds to one.

It is searched by tools/search_features.py.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.retrieval.vectors import flags as vector_flags

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "features_dir",
    None,
    "Folder of feature files, official or packed, or file of a store.",
)
flags.DEFINE_string(
    "index_dir",
    None,
    "Folder of the index; or on Milvus: milvus:PATH.db#COLLECTION, "
    "milvus+http://HOST:19530/COLLECTION (experiments/at_scale/MILVUS.md).",
)
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
flags.DEFINE_string(
    "metadata_csv",
    None,
    "CSV file with a column `name`, or `path`, that says which image a row is "
    "of, and others of any name, such as landmark, latitude and longitude, to "
    "filter by.",
)
vector_flags.define_vector_flags()
flags.DEFINE_string(
    "local_format",
    None,
    "Keep local features in a new index, as float32, float16, int8 or binary. "
    "Without it re-ranking reads them from --features_dir.",
)
flags.DEFINE_bool("overwrite", False, "Replace an index in --index_dir.")
flags.DEFINE_bool(
    "add",
    False,
    "Add images to an index in --index_dir, or go on where building one was "
    "cut off. Images that are in it stay.",
)
flags.DEFINE_bool("replace", False, "With --add: replace images in the index.")
flags.mark_flags_as_required(["features_dir", "index_dir"])


def _names() -> Sequence[str] | None:
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.retrieval.listing import read_names

    if FLAGS.names_file and FLAGS.dataset_file_path:
        raise InputError("Pass --names_file or --dataset_file_path, not both.")
    if FLAGS.names_file:
        return read_names(FLAGS.names_file)
    if FLAGS.dataset_file_path:
        return load_ground_truth(FLAGS.dataset_file_path).index_names
    return None


def main() -> None:
    """Reads the flags and builds the index."""
    from delg_tf.features.storage.skipped import SKIPPED_FILE, write_skipped
    from delg_tf.retrieval.feature_store import FeatureStore
    from delg_tf.retrieval.index.choice import file_beside, open_index
    from delg_tf.retrieval.index.importing import (
        ImportOptions,
        import_features,
    )
    from delg_tf.retrieval.index.metadata_csv import read_metadata_csv

    options = ImportOptions(
        vectors=vector_flags.vector_options(),
        local_format=FLAGS.local_format,
        metadata=FLAGS.metadata_csv and read_metadata_csv(FLAGS.metadata_csv),
        overwrite=FLAGS.overwrite,
        add=FLAGS.add,
        replace=FLAGS.replace,
    )
    store = FeatureStore(FLAGS.features_dir)
    summary = import_features(FLAGS.index_dir, store, _names(), options)
    skipped = pathlib.Path(f"{file_beside(FLAGS.index_dir)}.{SKIPPED_FILE}")
    write_skipped(skipped, summary.skipped)
    print(f"{summary.added} images added, {summary.there} were there.")
    if summary.skipped:
        print(f"{skipped}: {len(summary.skipped)} damaged ones were left out.")
    index = open_index(FLAGS.index_dir)
    print(
        f"{FLAGS.index_dir}: {len(index)} images, descriptors of "
        f"{index.dimension} numbers."
    )


if __name__ == "__main__":
    cli.run(main)
