"""Learns a PCA of the descriptors in a folder of feature files.

Extract them with `use_pca: false` first. The lines that are printed make
extraction use the PCA.
"""

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "features_dir", None, "Folder of feature files, searched with subfolders."
)
flags.DEFINE_enum(
    "kind",
    "local",
    ["local", "global"],
    "Which descriptors: those of *.delg_local and *.delf files, or those of "
    "*.delg_global files.",
)
flags.DEFINE_integer("dim", None, "Number of components.")
flags.DEFINE_integer(
    "max_descriptors",
    1_000_000,
    "Where there are more descriptors, so many are drawn at random.",
)
flags.DEFINE_integer("seed", 0, "Seed of the drawing.")
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder for mean.datum, pca_proj_mat.datum and pca_variances.datum.",
)
flags.DEFINE_bool("overwrite", False, "Replace a PCA in --output_dir.")
flags.mark_flags_as_required(["features_dir", "dim", "output_dir"])


def main() -> None:
    """Reads the flags, learns and writes the PCA, prints how to use it."""
    from delg_tf.common.atomic_directory import atomic_directory
    from delg_tf.extraction import pca_learning

    paths = pca_learning.find_feature_files(FLAGS.features_dir, FLAGS.kind)
    with atomic_directory(
        FLAGS.output_dir, pca_learning.MATRIX_FILE, FLAGS.overwrite
    ) as folder:
        pca = pca_learning.learn_pca(
            paths, FLAGS.kind, FLAGS.dim, FLAGS.max_descriptors, FLAGS.seed
        )
        pca_learning.write_pca(folder, pca)
    print(
        f"{FLAGS.output_dir}: {FLAGS.dim} components of "
        f"{pca.num_descriptors} descriptors keep {100 * pca.explained:.2f} % "
        "of the variance. For the extraction configuration:\n"
    )
    print(pca_learning.config_lines(FLAGS.output_dir, FLAGS.kind, FLAGS.dim))


if __name__ == "__main__":
    cli.run(main)
