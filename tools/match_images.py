"""Matches two images, or two feature files, and verifies the geometry.

Prints the number of inliers and the affine model, and draws the matches.
"""

from absl import flags

from delg_tf.common import cli
from delg_tf.data import image_limits
from delg_tf.extraction import flags as extraction_flags
from delg_tf.matching import flags as matching_flags

FLAGS = flags.FLAGS

flags.DEFINE_string("image_1_path", None, "First image.")
flags.DEFINE_string("image_2_path", None, "Second image.")
flags.DEFINE_string(
    "features_1_path",
    None,
    "Local features of the first image (.delg_local, .delf, .delg_packed or "
    ".npz, or with --features_1_name a folder, a store or an HDF5 file); "
    "without it they are extracted, by --delf_config_path.",
)
flags.DEFINE_string("features_2_path", None, "The same of the second image.")
flags.DEFINE_string(
    "features_1_name",
    None,
    "The first image's name in the folder or store --features_1_path.",
)
flags.DEFINE_string("features_2_name", None, "The same of the second image.")
extraction_flags.define_config_flags()
flags.DEFINE_string(
    "output_image", None, "Picture of the matches to write (needs both images)."
)
flags.DEFINE_bool("overwrite", False, "Replace an existing --output_image.")
image_limits.define_flag()
matching_flags.define_matching_flags()


def main() -> None:
    """Matches by the flags."""
    from delg_tf.matching.pair import PairInputs, match_pair

    result = match_pair(
        PairInputs(
            image_paths=(FLAGS.image_1_path, FLAGS.image_2_path),
            feature_paths=(FLAGS.features_1_path, FLAGS.features_2_path),
            feature_names=(FLAGS.features_1_name, FLAGS.features_2_name),
            config_path=FLAGS.delf_config_path,
            model_path=FLAGS.model_path,
            output_image=FLAGS.output_image,
            overwrite=FLAGS.overwrite,
            max_image_pixels=FLAGS.max_image_pixels,
        ),
        matching_flags.matching_config(),
    )
    print(result.describe())


if __name__ == "__main__":
    cli.run(main)
