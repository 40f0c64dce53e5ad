"""The optimiser, with a learning rate of its own for each part."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.delg import Delg
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.parts import variables_by_part
from delg_tf.training.schedule import WarmupDecay
from delg_tf.training.sgd import MomentumSGD


class GroupedOptimizer(tf.Module):
    """One Keras optimiser for each learning rate.

    Weight decay is decoupled (Loshchilov and Hutter, ICLR 2019): before a
    step each kernel loses `learning_rate * weight_decay` of itself.

    Args:
        model: the network, built under the strategy; frozen parts are marked.
        config: what to do.
        total_steps: the step at which the learning rate reaches 0.
    """

    def __init__(self, model: Delg, config: OptimizerConfig, total_steps: int):
        super().__init__(name="optimizer")
        self.schedule = _schedule(config, total_steps)
        groups: dict[float, list[tf.Variable]] = {}
        for part, variables in variables_by_part(model).items():
            factor = config.multipliers.get(part, 1.0)
            groups.setdefault(factor, []).extend(variables)
        self._groups = [tuple(group) for group in groups.values()]
        self._optimizers = [
            _make(config, _schedule(config, total_steps, factor))
            for factor in groups
        ]
        for optimizer, variables in zip(self._optimizers, self._groups):
            _exclude_from_decay(optimizer, variables)
            optimizer.build(variables)

    @property
    def variables_to_train(self) -> list[tf.Variable]:
        """The variables, in the order that `apply` takes gradients in."""
        return [variable for group in self._groups for variable in group]

    @property
    def iterations(self) -> tf.Variable:
        """Steps done, skipped ones included."""
        return self._optimizers[0].iterations

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Moves the weights; in replica context, with summed gradients.

        Args:
            gradients: of `variables_to_train`; the same on all replicas.
        """
        first = 0
        for optimizer, variables in zip(self._optimizers, self._groups):
            part = gradients[first : first + len(variables)]
            first += len(variables)
            optimizer.apply_gradients(
                zip(part, variables), skip_gradients_aggregation=True
            )

    def skip(self) -> None:
        """Counts a step without moving weights; in cross-replica context."""
        for optimizer in self._optimizers:
            optimizer.iterations.assign_add(1)


def _schedule(
    config: OptimizerConfig, total_steps: int, factor: float = 1.0
) -> WarmupDecay:
    return WarmupDecay(
        config.initial_lr * factor,
        total_steps,
        config.warmup_steps,
        config.schedule,
    )


def _make(
    config: OptimizerConfig, rate: WarmupDecay
) -> keras.optimizers.Optimizer:
    # XLA is asked for by a flag, for the network's part of the step.
    common = {
        "weight_decay": config.weight_decay or None,
        "jit_compile": False,
    }
    if config.kind == "adamw":
        return keras.optimizers.AdamW(
            rate, **common | {"weight_decay": config.weight_decay}
        )
    return MomentumSGD(rate, momentum=config.momentum, **common)


def _exclude_from_decay(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[tf.Variable]
) -> None:
    """Biases, batch normalisations and scales have one dimension at most."""
    excluded = [v for v in variables if v.shape.rank < 2]
    if excluded:
        optimizer.exclude_from_weight_decay(var_list=excluded)
