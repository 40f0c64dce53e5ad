"""Flags of the losses."""

from absl import flags

from delg_tf.training.losses.total import LossConfig

FLAGS = flags.FLAGS


def define_loss_flags() -> None:
    """Defines the flags that `loss_config` reads."""
    flags.DEFINE_float("delg_arcface_margin", 0.1, "ArcFace margin in radians.")
    flags.DEFINE_float("attention_loss_weight", 1.0, "Weight of that loss.")
    flags.DEFINE_float(
        "reconstruction_loss_weight", 10.0, "Weight of that loss."
    )
    flags.DEFINE_float(
        "label_smoothing",
        0.0,
        "Share of the target that is spread over all classes.",
    )
    flags.DEFINE_float(
        "contrastive_loss_weight",
        0.0,
        "Weight of a contrastive loss of the global descriptors of a batch.",
    )
    flags.DEFINE_float(
        "contrastive_margin",
        0.7,
        "Distance beyond which it lets different classes be.",
    )


def loss_config() -> LossConfig:
    """Builds the losses' configuration.

    Raises:
        InputError: a flag is out of range.
    """
    return LossConfig(
        margin=FLAGS.delg_arcface_margin,
        reconstruction_weight=FLAGS.reconstruction_loss_weight,
        attention_weight=FLAGS.attention_loss_weight,
        label_smoothing=FLAGS.label_smoothing,
        contrastive_weight=FLAGS.contrastive_loss_weight,
        contrastive_margin=FLAGS.contrastive_margin,
    )
