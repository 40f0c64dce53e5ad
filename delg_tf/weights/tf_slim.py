"""`resnet_v1_50`, `_101` and `_152` of TF-Slim: TF1 checkpoints."""

import re

from delg_tf.weights.checkpoint import read_checkpoint
from delg_tf.weights.collect import LeftOut, collect
from delg_tf.weights.names import unit_layer
from delg_tf.weights.source import Pretrained

# `resnet_arg_scope` of TF-Slim.
_EPSILON = 1e-5

_SCOPE = re.compile(r"(?:.*/)?resnet_v1_\d+/(.*)$")
_UNIT = re.compile(
    r"block(\d)/unit_(\d+)/bottleneck_v1/(shortcut|conv[123])/(.*)$"
)
_VARIABLES = {
    "weights": ("conv", "kernel"),
    "biases": ("conv", "bias"),
    "BatchNorm/gamma": ("bn", "gamma"),
    "BatchNorm/beta": ("bn", "beta"),
    "BatchNorm/moving_mean": ("bn", "moving_mean"),
    "BatchNorm/moving_variance": ("bn", "moving_variance"),
}
_TRAINING = re.compile(
    r"(^|/)(global_step|Momentum|RMSProp(_1)?|Adam(_1)?|Adagrad|"
    r"ExponentialMovingAverage|beta[12]_power|learning_rate)(:0)?$"
)


def read_tf_slim(path: str) -> Pretrained:
    """Reads a TF1 checkpoint.

    Args:
        path: the prefix (without `.index`) or the single file of the old
            format.

    Raises:
        InputError: the checkpoint is damaged or holds something else.
    """
    return collect(
        path,
        "tf_slim",
        read_checkpoint(path),
        _rename,
        input_normalisation="tf_slim",
        stride_position="last_unit",
        stem="tf_slim",
        bn_epsilon=_EPSILON,
    )


def _rename(name: str) -> str | LeftOut | None:
    if _TRAINING.search(name):
        return LeftOut("state of the optimiser")
    scope = _SCOPE.match(name)
    if scope is None:
        return None
    rest = scope[1]
    if rest.startswith("logits/"):
        return LeftOut("classifier of ImageNet")
    if rest.startswith("conv1/"):
        kind, variable = _VARIABLES.get(
            rest.removeprefix("conv1/"), (None,) * 2
        )
        return kind and f"conv1_{kind}/{variable}"
    unit = _UNIT.match(rest)
    if unit is None or unit[4] not in _VARIABLES:
        return None
    kind, variable = _VARIABLES[unit[4]]
    part = unit[3].removeprefix("conv")
    return f"{unit_layer(int(unit[1]), int(unit[2]), part, kind)}/{variable}"
