"""The sum that DELG minimises."""

import dataclasses
import math

import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.training.losses.arcface import arcface_loss
from delg_tf.training.losses.contrastive import contrastive_loss
from delg_tf.training.losses.cross_entropy import cross_entropy
from delg_tf.training.losses.reconstruction import reconstruction_loss

# Largest distance between unit vectors.
_LARGEST_DISTANCE = 2.0


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights and margins.

    Attributes:
        margin: ArcFace margin in radians.
        reconstruction_weight: lambda of the paper.
        attention_weight: beta of the paper.
        label_smoothing: share of the target distribution that is spread over
            all classes, in both classifications.
        contrastive_weight: of the contrastive loss of the global descriptor;
            0 leaves it out.
        contrastive_margin: distance beyond which it lets descriptors of
            different classes be.
    """

    margin: float = 0.1
    reconstruction_weight: float = 10.0
    attention_weight: float = 1.0
    label_smoothing: float = 0.0
    contrastive_weight: float = 0.0
    contrastive_margin: float = 0.7

    def __post_init__(self) -> None:
        """Checks ranges.

        Raises:
            InputError: a field is out of range.
        """
        for name, right, condition in (
            ("margin", 0 <= self.margin < math.pi / 2, "in [0, pi / 2)"),
            ("reconstruction_weight", self.reconstruction_weight >= 0, ">= 0"),
            ("attention_weight", self.attention_weight >= 0, ">= 0"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("contrastive_weight", self.contrastive_weight >= 0, ">= 0"),
            (
                "contrastive_margin",
                0 < self.contrastive_margin <= _LARGEST_DISTANCE,
                f"in (0, {_LARGEST_DISTANCE:g}]",
            ),
        ):
            if not right:
                raise InputError(
                    f"`{name}` must be {condition}. Received: "
                    f"{getattr(self, name)}"
                )


def delg_losses(
    outputs: dict[str, tf.Tensor],
    labels: tf.Tensor,
    config: LossConfig,
    global_batch: tf.Tensor | int,
    training: bool,
) -> dict[str, tf.Tensor]:
    """Computes `L_g + lambda L_r + beta L_a` and its parts.

    Each part is a sum over this replica's examples divided by the number of
    examples of all replicas. So the replicas' losses, and their gradients,
    add up to those of one device with the whole batch. (The official code
    averages the reconstruction on each replica: n replicas weigh it n times.)
    The contrastive loss alone depends on which examples share a replica.

    Args:
        outputs: of `Delg`, called with the same `training`.
        labels: int `[batch]`.
        config: weights and margins.
        global_batch: examples of all replicas.
        training: whether margin and label smoothing apply.

    Returns:
        float32 scalars `global`, `reconstruction` (0 without an
        autoencoder), `attention`, `contrastive` if it has a weight (none of
        them weighted) and `total`.
    """
    denominator = tf.cast(global_batch, tf.float32)

    def average(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values) / denominator

    targets = outputs.get("targets", labels)
    smoothing = config.label_smoothing if training else 0.0
    weights = outputs.get("log_weights")
    margin = config.margin if training else 0.0
    losses = {
        "global": average(
            _global_loss(outputs, targets, margin, smoothing, weights)
        ),
        "reconstruction": tf.zeros([]),
        "attention": average(
            cross_entropy(outputs["local_logits"], targets, smoothing, weights)
        ),
    }
    if "block3_target" in outputs:
        losses["reconstruction"] = average(
            reconstruction_loss(outputs["features"], outputs["block3_target"])
        )
    total = (
        losses["global"]
        + config.reconstruction_weight * losses["reconstruction"]
        + config.attention_weight * losses["attention"]
    )
    if config.contrastive_weight > 0:
        losses["contrastive"] = average(
            contrastive_loss(
                outputs["global_descriptor"], labels, config.contrastive_margin
            )
        )
        total += config.contrastive_weight * losses["contrastive"]
    return losses | {"total": total}


def _global_loss(
    outputs: dict[str, tf.Tensor],
    targets: tf.Tensor,
    margin: float,
    label_smoothing: float,
    log_weights: tf.Tensor | None,
) -> tf.Tensor:
    """The loss of the global head that the network has, `[batch]`."""
    if "cosines" in outputs:
        return arcface_loss(
            outputs["cosines"],
            targets,
            outputs["scale"],
            margin,
            label_smoothing,
            log_weights,
        )
    return cross_entropy(
        outputs["global_logits"], targets, label_smoothing, log_weights
    )
