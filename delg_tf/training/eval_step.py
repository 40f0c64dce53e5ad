"""One validation step on all replicas."""

import tensorflow as tf

from delg_tf.models.delg import Delg
from delg_tf.training.losses.total import LossConfig, delg_losses
from delg_tf.training.metrics import accuracies


class EvalStep:
    """Computes losses and accuracies as training does, without margin.

    Args:
        model: the network.
        strategy: replicas.
        loss: weights of the losses.
    """

    def __init__(
        self, model: Delg, strategy: tf.distribute.Strategy, loss: LossConfig
    ):
        self._model = model
        self._strategy = strategy
        self._loss = loss

    @tf.function(reduce_retracing=True)
    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Evaluates one distributed batch.

        Returns:
            Sums over the batch's images of the losses and of the right
            answers, and their number, `images`.
        """
        values = self._strategy.run(self._replica_step, (images, labels))
        return {
            key: self._strategy.reduce(
                tf.distribute.ReduceOp.SUM, value, axis=None
            )
            for key, value in values.items()
        }

    def _replica_step(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        outputs = self._model(images, training=False)
        sums = delg_losses(
            outputs, labels, self._loss, global_batch=1, training=False
        )
        sums |= accuracies(outputs, labels, 1)
        return sums | {"images": tf.cast(tf.shape(labels)[0], tf.float32)}
