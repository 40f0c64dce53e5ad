"""The sum that DELG minimises."""

import dataclasses
import math

import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.training.losses.arcface import arcface_loss
from delg_tf.training.losses.attention import attention_loss
from delg_tf.training.losses.reconstruction import reconstruction_loss


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights and margin.

    Attributes:
        margin: ArcFace margin in radians.
        reconstruction_weight: lambda of the paper.
        attention_weight: beta of the paper.
    """

    margin: float = 0.1
    reconstruction_weight: float = 10.0
    attention_weight: float = 1.0

    def __post_init__(self) -> None:
        """Checks ranges.

        Raises:
            InputError: a field is out of range.
        """
        if not 0 <= self.margin < math.pi / 2:
            raise InputError(
                f"`margin` must be in [0, pi / 2). Received: {self.margin}"
            )
        for name in ("reconstruction_weight", "attention_weight"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"`{name}` must not be negative. Received: "
                    f"{getattr(self, name)}"
                )


def delg_losses(
    outputs: dict[str, tf.Tensor],
    labels: tf.Tensor,
    scale: tf.Tensor,
    config: LossConfig,
    margin: float,
    global_batch: tf.Tensor | int,
) -> dict[str, tf.Tensor]:
    """Computes `L_g + lambda L_r + beta L_a` and its parts.

    Each part is a sum over this replica's examples divided by the number of
    examples of all replicas. So the replicas' losses, and their gradients,
    add up to those of one device with the whole batch. (The official code
    averages the reconstruction on each replica: n replicas weigh it n times.)

    Args:
        outputs: of `Delg`, without an autoencoder the reconstruction is 0.
        labels: int `[batch]`.
        scale: gamma of the cosine classifier.
        config: weights.
        margin: ArcFace margin of this call; 0 for validation.
        global_batch: examples of all replicas.

    Returns:
        Scalars `global`, `reconstruction`, `attention` (not weighted) and
        `total`.
    """
    denominator = tf.cast(global_batch, tf.float32)

    def average(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values) / denominator

    losses = {
        "global": average(
            arcface_loss(outputs["cosines"], labels, scale, margin)
        ),
        "reconstruction": average(
            reconstruction_loss(outputs["features"], outputs["block3_target"])
        ),
        "attention": average(attention_loss(outputs["local_logits"], labels)),
    }
    losses["total"] = (
        losses["global"]
        + config.reconstruction_weight * losses["reconstruction"]
        + config.attention_weight * losses["attention"]
    )
    return losses
