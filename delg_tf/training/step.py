"""One training step and one validation step on all replicas."""

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.delg import Delg
from delg_tf.training.losses.total import LossConfig, delg_losses


class TrainStep:
    """Computes losses and updates the weights.

    Args:
        model: built under the strategy.
        optimizer: built under the strategy.
        strategy: replicas.
        loss: weights of the losses.
        batch_size: images over all replicas.
        clip_norm: largest global norm of the summed gradient; 0: no limit.
    """

    def __init__(
        self,
        model: Delg,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        loss: LossConfig,
        batch_size: int,
        clip_norm: float,
    ):
        self._model = model
        self._optimizer = optimizer
        self._strategy = strategy
        self._loss = loss
        self._batch_size = batch_size
        self._clip_norm = clip_norm

    @tf.function
    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Trains on one distributed batch.

        Args:
            images: per-replica float `[b, size, size, 3]`.
            labels: per-replica int `[b]`.

        Returns:
            Scalars over the whole batch: the losses, `global_accuracy` and
            `local_accuracy` (share of right answers, without margin), and
            `gradient_norm` before clipping.
        """
        values = self._strategy.run(self._replica_step, (images, labels))
        norm = values.pop("gradient_norm")
        reduce = self._strategy.reduce
        metrics = {
            key: reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for key, value in values.items()
        }
        # The norm of the summed gradient is the same on every replica.
        metrics["gradient_norm"] = reduce(
            tf.distribute.ReduceOp.MEAN, norm, axis=None
        )
        return metrics

    def _replica_step(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        model = self._model
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            losses = delg_losses(
                outputs,
                labels,
                model.global_head.scale,
                self._loss,
                self._loss.margin,
                self._batch_size,
            )
        variables = model.trainable_variables
        gradients = tape.gradient(losses["total"], variables)
        # Summed before clipping: clipping each replica's own would make the
        # result depend on their number.
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(gradients)
        if self._clip_norm > 0:
            gradients, _ = tf.clip_by_global_norm(
                gradients, self._clip_norm, use_norm=norm
            )
        self._optimizer.apply_gradients(
            zip(gradients, variables), skip_gradients_aggregation=True
        )
        metrics = losses | _accuracies(outputs, labels, self._batch_size)
        return metrics | {"gradient_norm": norm}


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
            outputs,
            labels,
            self._model.global_head.scale,
            self._loss,
            margin=0.0,
            global_batch=1,
        )
        sums |= _accuracies(outputs, labels, 1)
        return sums | {"images": tf.cast(tf.shape(labels)[0], tf.float32)}


def _accuracies(
    outputs: dict[str, tf.Tensor], labels: tf.Tensor, denominator: int
) -> dict[str, tf.Tensor]:
    def share(logits: tf.Tensor) -> tf.Tensor:
        right = tf.equal(tf.argmax(logits, axis=1), tf.cast(labels, tf.int64))
        return tf.reduce_sum(tf.cast(right, tf.float32)) / denominator

    return {
        "global_accuracy": share(outputs["cosines"]),
        "local_accuracy": share(outputs["local_logits"]),
    }
