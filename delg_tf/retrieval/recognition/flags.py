"""Command-line flags of recognition, shared by the tools."""

from absl import flags

from delg_tf.retrieval.recognition.votes import RecognitionConfig

FLAGS = flags.FLAGS


def define_vote_flags() -> None:
    """Defines the flags that `recognition_config` reads."""
    flags.DEFINE_integer(
        "num_votes", 10, "Images at the top of each list that vote."
    )
    flags.DEFINE_integer(
        "max_inliers", 70, "More inliers of an image than this count nothing."
    )
    flags.DEFINE_float(
        "similarity_weight", 0.25, "Weight of the cosine beside the inliers."
    )
    flags.DEFINE_float(
        "abstention_threshold",
        None,
        "Name no landmark if its confidence is less; by default one is always "
        "named.",
    )


def recognition_config() -> RecognitionConfig:
    """Returns what the flags say.

    Raises:
        InputError: a flag is out of range.
    """
    return RecognitionConfig(
        FLAGS.num_votes,
        FLAGS.max_inliers,
        FLAGS.similarity_weight,
        FLAGS.abstention_threshold,
    )
