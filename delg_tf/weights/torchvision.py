"""ResNets of torchvision, and of libraries that keep its names.

They are "v1.5": the stride sits on the 3x3 convolution of a stage's first
unit. Images are RGB of 0 to 1, standardised by ImageNet's statistics.
"""

import pathlib
import re

import numpy as np

from delg_tf.common.files import PathLike
from delg_tf.weights.collect import LeftOut, collect
from delg_tf.weights.names import unit_layer
from delg_tf.weights.safetensors import read_safetensors
from delg_tf.weights.source import Pretrained
from delg_tf.weights.torch_pickle import read_torch

_EPSILON = 1e-5

_UNIT = re.compile(
    r"layer([1-4])\.(\d+)\.(?:(conv|bn)([123])|(downsample\.)([01]))$"
)
_VARIABLES = {
    "conv": {"weight": "kernel", "bias": "bias"},
    "bn": {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
}


def read_torchvision(path: PathLike) -> Pretrained:
    """Reads `.pth` (or `.pt`, `.bin`) or `.safetensors`.

    Raises:
        InputError: the file is damaged or holds another network.
    """
    safe = pathlib.Path(path).suffix == ".safetensors"
    raw = read_safetensors(path) if safe else read_torch(path)
    return collect(
        str(path),
        "torchvision",
        # DataParallel puts "module." before every name.
        {k.removeprefix("module."): _transposed(v) for k, v in raw.items()},
        _rename,
        input_normalisation="torch",
        stride_position="first_unit_3x3",
        stem="symmetric",
        bn_epsilon=_EPSILON,
    )


def _transposed(array: np.ndarray) -> np.ndarray:
    """[output, input, height, width] -> [height, width, input, output]."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _rename(name: str) -> str | LeftOut | None:
    if name.endswith(".num_batches_tracked"):
        return LeftOut("counter of training steps")
    if name in ("fc.weight", "fc.bias"):
        return LeftOut("classifier of ImageNet")
    layer, _, variable = name.rpartition(".")
    if layer in ("conv1", "bn1"):
        kind = layer.removesuffix("1")
        new_layer = f"conv1_{kind}"
    elif match := _UNIT.match(layer):
        stage, index, branch, number = filter(None, match.groups())
        # The shortcut is a sequence of a convolution and a normalisation.
        kind = (
            ("conv", "bn")[int(number)] if branch == "downsample." else branch
        )
        part = "shortcut" if branch == "downsample." else number
        new_layer = unit_layer(int(stage), int(index) + 1, part, kind)
    else:
        return None
    new = _VARIABLES[kind].get(variable)
    return new and f"{new_layer}/{new}"
