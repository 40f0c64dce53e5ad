"""Command-line flags of matching, shared by the tools.

Names and defaults are those of the official perform_retrieval.py where it has
the flag.
"""

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.matching.config import BACKENDS, MODELS, MatchingConfig

FLAGS = flags.FLAGS


def define_matching_flags() -> None:
    """Defines the flags that `matching_config` reads."""
    flags.DEFINE_float(
        "local_descriptor_matching_threshold",
        None,
        "Largest Euclidean distance between the descriptors of two matching "
        "features; by default 1.0, with binary features "
        f"{MatchingConfig.binary_distance}. With --use_ratio_test the largest "
        "ratio of the nearest to the second nearest distance instead.",
    )
    flags.DEFINE_bool(
        "use_ratio_test", False, "Match by the ratio of distances."
    )
    flags.DEFINE_bool(
        "mutual_matches",
        False,
        "Both features of a match must be each other's nearest neighbour.",
    )
    flags.DEFINE_float(
        "ransac_residual_threshold",
        20.0,
        "Largest distance in pixels between a feature and where the geometric "
        "model puts it, for an inlier.",
    )
    flags.DEFINE_integer("ransac_iterations", 1000, "RANSAC iterations.")
    flags.DEFINE_enum(
        "ransac_backend",
        MatchingConfig.backend,
        BACKENDS,
        "Who runs RANSAC. numba finds most where few matches are true (it "
        "takes seconds to compile, once on a machine); numpy is the same, "
        "slower; opencv is plain RANSAC, usac OpenCV's USAC_ACCURATE; skimage "
        "is the slow reference.",
    )
    flags.DEFINE_enum(
        "ransac_model", "affine", MODELS, "Kind of the geometric model."
    )
    flags.DEFINE_integer("seed", 0, "Seed of RANSAC's samples.")
    flags.DEFINE_integer(
        "min_inliers", 0, "Pairs with fewer inliers count as having none."
    )
    flags.DEFINE_bool(
        "unique_inliers",
        False,
        "Count an index feature once, however many query features match it.",
    )
    flags.DEFINE_float(
        "max_scale_change",
        MatchingConfig.max_scale_change,
        "Reject models that stretch or shrink by more; 0: no limit, as in the "
        "official package.",
    )
    flags.DEFINE_bool(
        "allow_reflection",
        False,
        "Accept models that mirror the image, as the official package does.",
    )


def matching_config() -> MatchingConfig:
    """Returns what the flags say.

    Raises:
        InputError: a flag is out of range.
    """
    given = FLAGS.local_descriptor_matching_threshold
    threshold = MatchingConfig.descriptor_distance if given is None else given
    binary = MatchingConfig.binary_distance if given is None else given
    if not threshold > 0 or (FLAGS.use_ratio_test and threshold > 1):
        raise InputError(
            "--local_descriptor_matching_threshold must be above 0, and at "
            f"most 1 with --use_ratio_test, but is {threshold:g}."
        )
    return MatchingConfig(
        descriptor_distance=None if FLAGS.use_ratio_test else threshold,
        binary_distance=None if FLAGS.use_ratio_test else binary,
        ratio_test=threshold if FLAGS.use_ratio_test else None,
        mutual=FLAGS.mutual_matches,
        residual_threshold=FLAGS.ransac_residual_threshold,
        iterations=FLAGS.ransac_iterations,
        model=FLAGS.ransac_model,
        backend=FLAGS.ransac_backend,
        seed=FLAGS.seed,
        min_inliers=FLAGS.min_inliers,
        unique_inliers=FLAGS.unique_inliers,
        max_scale_change=FLAGS.max_scale_change or None,
        allow_reflection=FLAGS.allow_reflection,
    )
