"""One training step on all replicas."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.delg import Delg
from delg_tf.training.averaging import WeightAverage
from delg_tf.training.loss_scale import LossScale
from delg_tf.training.losses.total import LossConfig, delg_losses
from delg_tf.training.metrics import accuracies
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.parts import variables_by_part
from delg_tf.training.sparse_gradients import sum_repeated_rows


class TrainStep:
    """Computes losses and updates the weights.

    A step whose loss or gradient is not finite changes nothing, batch
    normalisation included: it is counted and skipped.

    Args:
        model: built under the strategy.
        optimizer: built under the strategy.
        strategy: replicas.
        loss: weights of the losses.
        batch_size: images over all replicas and parts.
        config: clipping and accumulation are used.
        loss_scale: for float16; None: no scaling.
        average: moving average of the weights, or None.
        jit_compile: compile forward and backward pass by XLA.
    """

    def __init__(
        self,
        model: Delg,
        optimizer: GroupedOptimizer,
        strategy: tf.distribute.Strategy,
        loss: LossConfig,
        batch_size: int,
        config: OptimizerConfig,
        loss_scale: LossScale | None = None,
        average: WeightAverage | None = None,
        jit_compile: bool = False,
    ):
        self._model = model
        self._optimizer = optimizer
        self._strategy = strategy
        self._loss = loss
        self._batch_size = batch_size
        self._config = config
        self._loss_scale = loss_scale
        self._average = average
        self._variables = optimizer.variables_to_train
        self._part_indices = _part_indices(model, self._variables)
        self._statistics = _batch_statistics(model)
        self._gradients_of_part = self._part
        if jit_compile:
            self._gradients_of_part = tf.function(self._part, jit_compile=True)
        with strategy.scope():
            self.bad_steps = tf.Variable(
                0,
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name="bad_steps",
            )

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
            `local_accuracy` (share of right answers, without margin),
            `gradient_norm` before clipping, as a whole and of each part
            (`gradient_norm/block1`), and `skipped`, 1 if the step was
            not finite.
        """
        values, norms, gradients, before = self._strategy.run(
            self._gradients, (images, labels)
        )
        norms = {key: self._mean(value) for key, value in norms.items()}
        norm = norms["gradient_norm"]
        metrics = {key: self._sum(value) for key, value in values.items()}
        finite = tf.math.is_finite(norm) & tf.math.is_finite(metrics["total"])
        tf.cond(
            finite,
            lambda: self._apply(gradients, norm),
            lambda: self._skip(before),
        )
        self._count(finite, metrics["total"])
        skipped = 1.0 - tf.cast(finite, tf.float32)
        return metrics | norms | {"skipped": skipped}

    def _gradients(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[
        dict[str, tf.Tensor],
        dict[str, tf.Tensor],
        list[tf.Tensor],
        list[tf.Tensor],
    ]:
        """Metrics, gradient norms, summed gradients, former statistics."""
        before = [tf.identity(variable) for variable in self._statistics]
        scale = 1.0 if self._loss_scale is None else self._loss_scale.scale
        scale = tf.convert_to_tensor(scale)
        metrics, gradients = self._all_parts(images, labels, scale)
        # Summed before clipping: clipping each replica's own would make the
        # result depend on their number.
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        gradients = [sum_repeated_rows(gradient) for gradient in gradients]
        if self._loss_scale is not None:
            gradients = [_times(g, 1.0 / scale) for g in gradients]
        norms = {
            f"gradient_norm/{part}": tf.linalg.global_norm(
                [gradients[index] for index in indices]
            )
            for part, indices in self._part_indices.items()
        }
        norms["gradient_norm"] = tf.linalg.global_norm(list(norms.values()))
        return metrics, norms, gradients, before

    def _all_parts(
        self, images: tf.Tensor, labels: tf.Tensor, scale: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Sums of metrics and gradients over the parts of a replica's share.

        One part waits for the one before, so that their activations need not
        be in memory at the same time.
        """
        parts = self._config.accumulation_steps
        size = self._batch_size // (parts * self._strategy.num_replicas_in_sync)
        if parts == 1:
            return self._gradients_of_part(images, labels, scale)
        total = None
        for first in range(0, parts * size, size):
            ready = [] if total is None else tf.nest.flatten(total)
            with tf.control_dependencies(ready):
                part = self._gradients_of_part(
                    tf.identity(images[first : first + size]),
                    labels[first : first + size],
                    scale,
                )
            total = part if total is None else _add(total, part)
        return total

    def _part(
        self, images: tf.Tensor, labels: tf.Tensor, scale: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        model = self._model
        with tf.GradientTape() as tape:
            outputs = model(images, training=True, labels=labels)
            losses = delg_losses(
                outputs, labels, self._loss, self._batch_size, training=True
            )
            scaled = losses["total"] * scale
        gradients = tape.gradient(
            scaled,
            self._variables,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return losses | accuracies(outputs, labels, self._batch_size), gradients

    def _apply(self, gradients: list[tf.Tensor], norm: tf.Tensor) -> tf.Tensor:
        limit = self._config.clip_norm

        def move(gradients: list[tf.Tensor]) -> None:
            if limit > 0:
                gradients, _ = tf.clip_by_global_norm(
                    gradients, limit, use_norm=norm
                )
            self._optimizer.apply(gradients)

        self._strategy.run(move, (gradients,))
        if self._average is not None:
            self._average.update(self._optimizer.iterations)
        return tf.constant(True)

    def _skip(self, before: Sequence[tf.Tensor]) -> tf.Tensor:
        """Undoes the batch statistics; the step counts nevertheless."""

        def undo(before: Sequence[tf.Tensor]) -> None:
            for variable, value in zip(self._statistics, before):
                variable.assign(value)

        self._strategy.run(undo, (before,))
        self._optimizer.skip()
        return tf.constant(False)

    def _count(self, finite: tf.Tensor, loss: tf.Tensor) -> None:
        """Counts bad steps in a row; float16's overflows are not bad."""
        good = finite
        if self._loss_scale is not None:
            overflow = tf.math.is_finite(loss) & ~self._loss_scale.is_smallest
            good |= overflow
            self._loss_scale.update(finite)
        self.bad_steps.assign(tf.where(good, 0, self.bad_steps + 1))

    def _sum(self, value: tf.Tensor) -> tf.Tensor:
        return self._strategy.reduce(
            tf.distribute.ReduceOp.SUM, value, axis=None
        )

    def _mean(self, value: tf.Tensor) -> tf.Tensor:
        """Of a value that is the same on all replicas."""
        return self._strategy.reduce(
            tf.distribute.ReduceOp.MEAN, value, axis=None
        )


def _part_indices(
    model: Delg, variables: Sequence[tf.Variable]
) -> dict[str, list[int]]:
    """Places of each part's variables among all."""
    places = {id(variable): place for place, variable in enumerate(variables)}
    return {
        part: [places[id(variable)] for variable in own]
        for part, own in variables_by_part(model).items()
    }


def _batch_statistics(model: Delg) -> list[tf.Variable]:
    """What the forward pass of training changes."""
    return [
        variable
        for layer in model.submodules
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
        for variable in (layer.moving_mean, layer.moving_variance)
    ]


def _times(
    gradient: tf.Tensor | tf.IndexedSlices, factor: tf.Tensor
) -> tf.Tensor | tf.IndexedSlices:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(
            gradient.values * factor, gradient.indices, gradient.dense_shape
        )
    return gradient * factor


def _add(
    total: tuple[dict, list], part: tuple[dict, list]
) -> tuple[dict, list]:
    """Sums of metrics and of gradients, sparse ones included."""
    metrics = {key: value + part[0][key] for key, value in total[0].items()}
    gradients = [
        tf.add_n([a, b])
        if not isinstance(a, tf.IndexedSlices)
        else tf.IndexedSlices(
            tf.concat([a.values, b.values], 0),
            tf.concat([a.indices, b.indices], 0),
            a.dense_shape,
        )
        for a, b in zip(total[1], part[1])
    ]
    return metrics, gradients
