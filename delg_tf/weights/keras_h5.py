"""ResNets v1 of Keras-Applications: `.h5` and `.weights.h5`.

Three layouts exist: HDF5 of Keras 1 and 2, where each array's path ends in
`<layer>/<variable>`; `.weights.h5` of Keras 3, whose groups carry the layer's
name as an attribute; `.weights.h5` of late Keras 2, which has numbers only.
The nets were trained with Caffe: BGR, means subtracted, values of 0 to 255.
"""

import re

import h5py
import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.models.resnet import ARCHITECTURES
from delg_tf.weights.collect import LeftOut, collect
from delg_tf.weights.names import backbone_layers, unit_layer
from delg_tf.weights.source import Pretrained

# Of today's Keras-Applications, and of the first ResNet50 in Keras.
_EPSILON = 1.001e-5
_OLD_EPSILON = 1e-3

_LAYER = re.compile(r"conv(\d)_block(\d+)_([0-3])_(conv|bn)$")
_OLD_LAYER = re.compile(r"(res|bn)(\d)([a-z])(\d*)_branch(1|2[abc])$")
_TOP = ("predictions", "probs", "fc1000")
_VARIABLE = re.compile(
    r"(?:.*_)?(kernel|W|bias|b|gamma|beta|moving_mean|running_mean|"
    r"moving_variance|running_std|running_var)(?:_\d+)?(?::0)?$"
)
_VARIABLES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    # The first ResNet50 in Keras calls the variance so.
    "running_std": "moving_variance",
    "running_var": "moving_variance",
}
_NUMBERED = {
    "conv2d": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "dense": ("kernel", "bias"),
}
_OTHER_FAMILY = re.compile(r"preact|post_bn|_gn|depthwise|sepconv")


def read_keras(path: PathLike) -> Pretrained:
    """Reads a Keras-Applications ResNet50, ResNet101 or ResNet152.

    Args:
        path: `.h5` of weights or of a whole model, or `.weights.h5`; with or
            without the classifier.

    Raises:
        InputError: the file is no HDF5, or holds another network.
    """
    raw = _read(path)
    layers = {name.split("/")[0] for name in raw}
    if any(_OTHER_FAMILY.search(layer) for layer in layers):
        raise InputError(
            f"{path} holds another family of networks than ResNet v1 (e.g. "
            "ResNetV2). Give ResNet50, ResNet101 or ResNet152."
        )
    old = any(_OLD_LAYER.match(layer) for layer in layers)
    for name in ("conv1_conv/kernel", "conv1/kernel"):
        if name in raw and raw[name].ndim == 4:
            # Trained on BGR; here images are RGB.
            raw[name] = raw[name][:, :, ::-1]
    return collect(
        str(path),
        "keras",
        raw,
        _rename,
        input_normalisation="caffe",
        stride_position="first_unit_1x1",
        stem="symmetric",
        bn_epsilon=_OLD_EPSILON if old else _EPSILON,
    )


def _rename(name: str) -> str | LeftOut | None:
    layer, variable = name.split("/")
    if layer.startswith(_TOP):
        return LeftOut("classifier of ImageNet")
    if layer in ("conv1_conv", "conv1_bn"):
        return name
    if layer in ("conv1", "bn_conv1"):
        return f"conv1_{'bn' if layer == 'bn_conv1' else 'conv'}/{variable}"
    if match := _LAYER.match(layer):
        stage, unit, part, kind = match.groups()
        part = "shortcut" if part == "0" else part
        new = unit_layer(int(stage) - 1, int(unit), part, kind)
        return f"{new}/{variable}"
    if match := _OLD_LAYER.match(layer):
        kind, stage, letter, number, branch = match.groups()
        # 4a, 4b, 4c, ..., or 4a, 4b1, 4b2, ... in the deeper networks.
        unit = int(number) + 1 if number else ord(letter) - ord("a") + 1
        part = "shortcut" if branch == "1" else "abc".index(branch[1]) + 1
        kind = "conv" if kind == "res" else "bn"
        return f"{unit_layer(int(stage) - 1, unit, part, kind)}/{variable}"
    return None


def _read(path: PathLike) -> dict[str, np.ndarray]:
    """Arrays by `<layer>/<variable>`."""
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            datasets = {}
            root.visititems(
                lambda name, item: (
                    datasets.update({name: item})
                    if isinstance(item, h5py.Dataset)
                    and not name.startswith("optimizer")
                    else None
                )
            )
            if any("/vars/" in name for name in datasets):
                return _named_by_groups(path, datasets)
            return _named_by_paths(path, datasets)
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{path} cannot be read as HDF5 weights of Keras: {error}"
        ) from error


def _named_by_paths(
    path: PathLike, datasets: dict[str, h5py.Dataset]
) -> dict[str, np.ndarray]:
    arrays = {}
    for name, dataset in datasets.items():
        layer, _, last = "/".join(name.split("/")[-2:]).partition("/")
        match = _VARIABLE.match(last)
        variable = match[1] if match else last
        key = f"{layer}/{_VARIABLES.get(variable, variable)}"
        if key in arrays:
            raise InputError(f"{path} holds two arrays {key}.")
        arrays[key] = dataset[()]
    return arrays


def _named_by_groups(
    path: PathLike, datasets: dict[str, h5py.Dataset]
) -> dict[str, np.ndarray]:
    """Reads groups like `layers/conv2d_7/vars`, holding 0, 1, ..."""
    numbers = {}
    for name, dataset in datasets.items():
        group, _, index = name.rpartition("/vars/")
        key = group.split("/")[-1]
        kind, _, number = key.rpartition("_")
        if not number.isdigit():
            kind, number = key, "0"
        if kind not in _NUMBERED or not index.isdigit():
            raise InputError(
                f"{path} holds {name}, which is no part of a ResNet v1."
            )
        layer = dataset.parent.attrs.get("name")
        numbers[kind, int(number), int(index)] = (layer, dataset[()])
    order = _layers_in_order({key[:2] for key in numbers})
    arrays = {}
    for (kind, number, index), (layer, array) in sorted(
        numbers.items(), key=lambda item: item[0]
    ):
        if layer is None:
            layer = order.get((kind, number), f"{kind}_{number}")
        variables = _NUMBERED[kind]
        variable = variables[index] if index < len(variables) else str(index)
        arrays[f"{layer}/{variable}"] = array
    return arrays


def _layers_in_order(
    groups: set[tuple[str, int]],
) -> dict[tuple[str, int], str]:
    """Names of numbered layers, in the order in which Keras builds them."""
    names = {("dense", 0): "predictions"}
    kinds = {"conv2d": "conv", "batch_normalization": "bn"}
    for backbone in ("resnet50", "resnet101", "resnet152"):
        count = 5 + 3 * sum(ARCHITECTURES[backbone].depths)
        for group, kind in kinds.items():
            present = sorted(n for g, n in groups if g == group)
            if len(present) != count:
                continue
            layers = backbone_layers(backbone, kind)
            names |= {
                (group, number): _keras_name(layer)
                for number, layer in zip(present, layers)
            }
    return names


def _keras_name(layer: str) -> str:
    match = re.match(r"block(\d)_unit(\d+)_(\w+)_(conv|bn)$", layer)
    if match is None:
        return layer
    stage, unit, part, kind = match.groups()
    part = "0" if part == "shortcut" else part
    return f"conv{int(stage) + 1}_block{unit}_{part}_{kind}"
