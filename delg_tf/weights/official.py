"""Weights of the official trainer: `delf_weights`, of DELF and of DELG.

Checkpoints of TF2 objects; the keys are attribute paths of the official
classes (`resnet50.py`, `delf_model.py`, `delg_model.py`). The training
checkpoints beside them have the same keys under `model/`.
"""

import re

from delg_tf.common.errors import InputError
from delg_tf.weights.checkpoint import read_checkpoint
from delg_tf.weights.collect import LeftOut, collect
from delg_tf.weights.names import unit_layer
from delg_tf.weights.source import Pretrained

# Keras' default, which the official network keeps.
_EPSILON = 1e-3

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_UNIT = re.compile(r"backbone/l(\d)([a-z])/(conv|bn)(2[abc]|_shortcut)/(\w+)$")
_PREFIXES = {
    "backbone/conv1/": "conv1_conv/",
    "backbone/bn_conv1/": "conv1_bn/",
    "backbone/embedding_layer/": "whitening/",
    "attention/conv1/": "attention/hidden/",
    "attention/bn_conv1/": "attention/norm/",
    "attention/conv2/": "attention/score/",
    "autoencoder/conv1/": "local_reduction/encoder/",
    "autoencoder/conv2/": "local_reduction/decoder/",
    "attn_classification/": "local_head/",
}
_COLUMN_A_CLASS = ("cosine_weights", "attn_classification/kernel")
_NAMES = {
    "cosine_weights": "global_head/centres",
    "scale_factor": "global_head/scale",
}


def read_official(path: str) -> Pretrained:
    """Reads weights or a training checkpoint of the official code.

    Args:
        path: prefix, e.g. `logdir/delf_weights`.

    Raises:
        InputError: the checkpoint is damaged or holds something else.
    """
    raw = {}
    for name, array in read_checkpoint(path).items():
        # Here classifiers have a row a class.
        rows = any(part in name for part in _COLUMN_A_CLASS)
        raw[name] = array.T if rows else array
    pretrained = collect(
        path,
        "official",
        raw,
        _rename,
        input_normalisation="delg",
        stride_position="first_unit_1x1",
        stem="official",
        bn_epsilon=_EPSILON,
    )
    if "attention" not in pretrained.source.parts:
        raise InputError(
            f"{path} has no attention: it is no DELF or DELG network of the "
            "official trainer."
        )
    return pretrained


def _rename(key: str) -> str | LeftOut | None:
    if key.startswith(("optimizer/", "save_counter")):
        return LeftOut("state of the training")
    if "/.OPTIMIZER_SLOT/" in key:
        return LeftOut("state of the optimiser")
    name = key.removesuffix(_VALUE).removeprefix("model/")
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith("desc_classification/"):
        return LeftOut(
            "DELF's classifier, which takes the pooled feature without a "
            "whitening layer"
        )
    if match := _UNIT.match(name):
        stage, letter, kind, part, variable = match.groups()
        part = "shortcut" if part == "_shortcut" else "abc".index(part[1]) + 1
        unit = ord(letter) - ord("a") + 1
        return f"{unit_layer(int(stage) - 1, unit, part, kind)}/{variable}"
    for old, new in _PREFIXES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return None
