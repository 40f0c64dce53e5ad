"""Flags of the optimiser."""

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.training.optimizer_config import (
    OPTIMIZERS,
    SCHEDULES,
    OptimizerConfig,
)
from delg_tf.training.parts import GROUPS

FLAGS = flags.FLAGS
# Flags with the names of their fields.
_SAME = (
    "initial_lr",
    "warmup_steps",
    "momentum",
    "weight_decay",
    "clip_norm",
    "accumulation_steps",
    "ema_decay",
    "freeze_backbone",
    "freeze_blocks",
)


def define_optimizer_flags() -> None:
    """Defines the flags that `optimizer_config` reads."""
    flags.DEFINE_enum(
        "optimizer",
        "sgd",
        OPTIMIZERS,
        "SGD with momentum (the paper), or Adam with decoupled weight decay.",
    )
    flags.DEFINE_float("initial_lr", 0.01, "Learning rate; decays to 0.")
    flags.DEFINE_enum("lr_schedule", "linear", SCHEDULES, "Shape of the decay.")
    flags.DEFINE_integer("warmup_steps", 0, "Steps of linear warm-up.")
    flags.DEFINE_float("momentum", 0.9, "Of SGD.")
    flags.DEFINE_float(
        "weight_decay",
        0.0,
        "Decoupled, times the learning rate; not of biases and normalisations.",
    )
    flags.DEFINE_float(
        "clip_norm", 10.0, "Largest global norm of the gradient; 0: no limit."
    )
    flags.DEFINE_integer(
        "accumulation_steps",
        1,
        "Compute each step in so many parts, to save memory.",
    )
    flags.DEFINE_float(
        "ema_decay",
        0.0,
        "Of a moving average of the weights, which is validated and saved in "
        "their place; 0: no average.",
    )
    flags.DEFINE_list(
        "lr_multipliers",
        [],
        "Factors on the learning rate of parts, e.g. "
        "backbone:0.1,block4:0.5; parts and groups: "
        f"{', '.join(sorted(GROUPS))}.",
    )
    flags.DEFINE_bool("freeze_backbone", False, "Train the heads only.")
    flags.DEFINE_integer(
        "freeze_blocks",
        0,
        "Keep the stem and so many first blocks as they are.",
    )


def optimizer_config() -> OptimizerConfig:
    """Builds the optimiser's configuration.

    Raises:
        InputError: a flag is out of range.
    """
    return OptimizerConfig(
        kind=FLAGS.optimizer,
        schedule=FLAGS.lr_schedule,
        lr_multipliers=tuple(map(_multiplier, FLAGS.lr_multipliers)),
        **{name: getattr(FLAGS, name) for name in _SAME},
    )


def _multiplier(text: str) -> tuple[str, float]:
    part, _, factor = text.partition(":")
    try:
        return part, float(factor)
    except ValueError as error:
        raise InputError(
            f"--lr_multipliers must be like backbone:0.1. Received: {text!r}"
        ) from error
