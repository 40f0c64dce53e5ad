"""From a file's own names to this package's, with nothing lost."""

import collections
from collections.abc import Callable

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.weights.names import depths, part_of, recognise_backbone
from delg_tf.weights.source import PARTS, Pretrained, WeightsSource

_SHOWN = 8


class LeftOut(str):
    """The reason why an array has no place in the network."""


# From a name in the file to ours, to a reason, or to None for an unknown one.
Rename = Callable[[str], str | LeftOut | None]


def shortened(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    text = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{text} and {more} more" if more > 0 else text


def reasons(left_out: dict[str, str]) -> list[str]:
    """Lines about arrays without a use, one for each reason."""
    counts = collections.Counter(left_out.values())
    return [f"left out: {n} x {why}" for why, n in counts.items()]


def collect(
    path: str,
    format_name: str,
    raw: dict[str, np.ndarray],
    rename: Rename,
    **network: object,
) -> Pretrained:
    """Renames all arrays and folds the convolutions' biases.

    Args:
        path: where the arrays come from.
        format_name: one of `FORMATS`.
        raw: arrays by the file's names, kernels in TensorFlow's layout.
        rename: gives the new name.
        **network: the remaining fields of `WeightsSource`, but `parts` and
            `backbone`.

    Raises:
        InputError: an array is unknown, comes twice, or is not finite.
    """
    arrays, left_out, unknown = {}, {}, []
    for name in sorted(raw):
        new = rename(name)
        if new is None:
            unknown.append(name)
        elif isinstance(new, LeftOut):
            left_out[name] = str(new)
        elif new in arrays:
            raise InputError(
                f"{path} holds two arrays for {new}, the second is {name}. "
                "Give a file with one network."
            )
        else:
            arrays[new] = _checked(path, name, raw[name])
    if unknown:
        raise InputError(
            f"{path} ({format_name}) holds arrays that are no part of a "
            f"ResNet v1 or DELG network: {shortened(unknown)}."
            f"{_looks_like(arrays)}"
        )
    _fold_biases(path, arrays)
    found = {part_of(name) for name in arrays}
    source = WeightsSource(
        path=str(path),
        format=format_name,
        backbone=recognise_backbone(list(arrays)),
        parts=tuple(part for part in PARTS if part in found),
        sizes=_sizes(arrays),
        **network,
    )
    return Pretrained(source, arrays, left_out)


def _checked(path: str, name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise InputError(
            f"{path}: {name} has values that are not finite; the file is "
            "damaged or comes from a training that diverged."
        )
    return array


def _looks_like(arrays: dict[str, np.ndarray]) -> str:
    """A hint at the network, as far as its units were recognised."""
    units = depths(list(arrays))
    if not any(units):
        return ""
    backbone = recognise_backbone(list(arrays)) or "no known network"
    return f" The rest has stages of {units} units: {backbone}."


def _sizes(arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Fields of `DelgConfig` that the arrays' shapes tell."""
    places = {
        "num_classes": "local_head/bias",
        "embedding_dim": "whitening/bias",
        "attention_dim": "attention/hidden/bias",
        "autoencoder_dim": "local_reduction/encoder/bias",
    }
    return {
        field: len(arrays[name])
        for field, name in places.items()
        if name in arrays and arrays[name].ndim == 1
    }


def _fold_biases(path: str, arrays: dict[str, np.ndarray]) -> None:
    """Takes each convolution's bias off the mean that is subtracted next.

    The normalised values stay the same, in training too, where the batch's
    own mean contains the bias.
    """
    for name in [n for n in arrays if n.endswith("_conv/bias")]:
        mean = name.removesuffix("conv/bias") + "bn/moving_mean"
        bias = arrays.pop(name)
        if mean not in arrays or arrays[mean].shape != bias.shape:
            raise InputError(
                f"{path} has a bias {name} of shape {bias.shape}, but no "
                f"{mean} of that shape to fold it into."
            )
        arrays[mean] = arrays[mean] - bias
