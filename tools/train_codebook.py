"""Learns a codebook of visual words, by k-means on local features.

Learn from images of other places than those to be searched. Codebooks of the
official programs (TensorFlow checkpoints) need no conversion: name them in the
aggregation configuration.
"""

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "features",
    None,
    "Folder of feature files, official or packed, or file of a store.",
)
flags.DEFINE_string(
    "names_file",
    None,
    "Text file with the names of the images to learn from, one a line. "
    "Without it: all that have local features.",
)
flags.DEFINE_integer("codebook_size", 65536, "Number of visual words.")
flags.DEFINE_integer("iterations", 50, "Iterations of k-means.")
flags.DEFINE_integer(
    "redo", 1, "Runs from other starts, of which the best is kept."
)
flags.DEFINE_integer(
    "max_features",
    1_000_000,
    "Where there are more features, so many are drawn at random. They are held "
    "in memory: a million of 128 numbers takes half a gigabyte.",
)
flags.DEFINE_integer("seed", 0, "Seed of the drawing and of k-means.")
flags.DEFINE_string("output", None, "File (.npz) to write the codebook to.")
flags.DEFINE_bool("overwrite", False, "Replace the file --output.")
flags.mark_flags_as_required(["features", "output"])


def main() -> None:
    """Reads the flags, learns and writes the codebook."""
    from delg_tf.aggregation.learning import KMeansOptions, learn_codebook
    from delg_tf.common.files import refuse_existing
    from delg_tf.features.storage.choice import open_source
    from delg_tf.retrieval.listing import read_names

    refuse_existing(FLAGS.output, FLAGS.overwrite)
    options = KMeansOptions(
        FLAGS.codebook_size,
        FLAGS.iterations,
        FLAGS.redo,
        FLAGS.max_features,
        FLAGS.seed,
    )
    source = open_source(FLAGS.features)
    if FLAGS.names_file:
        names = read_names(FLAGS.names_file)
    else:
        names = source.names("local")
    codebook, sample = learn_codebook(source, names, options)
    codebook.save(FLAGS.output, FLAGS.overwrite)
    print(
        f"{FLAGS.output}: {len(codebook)} words of {codebook.dimension} "
        f"numbers, learnt from {len(sample.descriptors)} of "
        f"{sample.num_features} features of {sample.num_images} images; mean "
        f"squared error {codebook.origin['mean_squared_error']:.4f}; "
        f"{len(sample.skipped)} images skipped."
    )


if __name__ == "__main__":
    cli.run(main)
