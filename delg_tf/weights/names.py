"""Names of the backbone's layers, and what they tell about it."""

import re

from delg_tf.models.resnet import ARCHITECTURES

_UNIT = re.compile(r"block(\d)_unit(\d+)_")


def unit_layer(stage: int, unit: int, part: int | str, kind: str) -> str:
    """Name of a layer of a bottleneck unit.

    Args:
        stage: 1 to 4.
        unit: from 1.
        part: 1, 2, 3 or "shortcut".
        kind: "conv" or "bn".
    """
    return f"block{stage}_unit{unit}_{part}_{kind}"


def part_of(name: str) -> str:
    """The part of the network that an array belongs to."""
    first = name.split("/")[0]
    return "backbone" if first.startswith(("conv1_", "block")) else first


def depths(names: list[str]) -> tuple[int, int, int, int]:
    """Number of units of each stage that the names speak of."""
    units = [set() for _ in range(4)]
    for name in names:
        if match := _UNIT.match(name):
            units[int(match[1]) - 1].add(int(match[2]))
    return tuple(map(len, units))


def recognise_backbone(names: list[str]) -> str | None:
    """The network that has as many units a stage; None if there is none."""
    found = depths(names)
    for backbone, architecture in ARCHITECTURES.items():
        if architecture.depths == found:
            return backbone
    return None


def backbone_layers(backbone: str, kind: str) -> list[str]:
    """Names of a network's layers as Keras-Applications orders them.

    Where shortcut and third convolution stand side by side, the shortcut
    comes first.

    Args:
        backbone: a key of `ARCHITECTURES`.
        kind: "conv" or "bn".
    """
    layers = [f"conv1_{kind}"]
    for stage, depth in enumerate(ARCHITECTURES[backbone].depths, start=1):
        for unit in range(1, depth + 1):
            parts = [1, 2, "shortcut", 3] if unit == 1 else [1, 2, 3]
            layers += [unit_layer(stage, unit, part, kind) for part in parts]
    return layers
