"""The network's parts, as training tells them apart."""

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.delg import Delg

_STAGES = ("stem", "block1", "block2", "block3", "block4")
_GLOBAL = ("pooling", "whitening", "global_head")
_LOCAL = ("attention", "local_reduction", "local_head")

# What a name in a flag stands for.
GROUPS = {name: (name,) for name in (*_STAGES, *_GLOBAL, *_LOCAL)} | {
    "backbone": _STAGES,
    "global": _GLOBAL,
    "local": _LOCAL,
}


def layers_by_part(model: Delg) -> dict[str, list[keras.layers.Layer]]:
    """Returns the layers of each part that the network has."""
    parts: dict[str, list[keras.layers.Layer]] = {}
    for layer in (*model.trunk.layers, *model.conv5.layers):
        name = layer.name.split("_")[0]
        part = name if name.startswith("block") else "stem"
        parts.setdefault(part, []).append(layer)
    for layer in model.layers:
        if layer.name in (*_GLOBAL, *_LOCAL):
            parts[layer.name] = [layer]
    return parts


def variables_by_part(model: Delg) -> dict[str, list[tf.Variable]]:
    """Returns the trainable variables of each part, in the network's order."""
    owners = {
        id(variable): part
        for part, layers in layers_by_part(model).items()
        for layer in layers
        for variable in layer.variables
    }
    parts: dict[str, list[tf.Variable]] = {}
    for variable in model.trainable_variables:
        parts.setdefault(owners[id(variable)], []).append(variable)
    return parts


def freeze(model: Delg, backbone: bool, blocks: int) -> None:
    """Stops training of the first blocks, or of the whole backbone.

    Their batch normalisations keep their statistics, as Keras does it for
    layers that are not trained.

    Args:
        model: the network.
        backbone: freeze stem and all blocks.
        blocks: freeze the stem and so many blocks; 0: nothing.
    """
    frozen = _STAGES if backbone else _STAGES[: blocks + 1] if blocks else ()
    for part, layers in layers_by_part(model).items():
        for layer in layers:
            if part in frozen:
                layer.trainable = False
