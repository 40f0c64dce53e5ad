"""Whether arrays fit a network: none missing, none left over."""

from collections.abc import Iterable, Mapping

from delg_tf.common.errors import InputError
from delg_tf.models.config import DelgConfig
from delg_tf.models.resnet import build_conv5, build_trunk
from delg_tf.weights.collect import shortened
from delg_tf.weights.names import depths, part_of
from delg_tf.weights.source import Pretrained

Shape = tuple[int, ...]


def backbone_shapes(backbone: str) -> dict[str, Shape]:
    """Shapes of all variables of a backbone, by their names here."""
    config = DelgConfig(backbone=backbone)
    return {
        variable.name.split(":")[0]: tuple(variable.shape)
        for model in (build_trunk(config), build_conv5(config))
        for variable in model.variables
    }


def check_backbone_kind(pretrained: Pretrained, wanted: str) -> None:
    """Checks that the file holds the network that is wanted.

    Raises:
        InputError: it looks like another one, which the message names.
    """
    source = pretrained.source
    if source.backbone == wanted:
        return
    units = depths(list(pretrained.arrays))
    known = source.backbone or "no network known here"
    advice = "Give other weights"
    if source.backbone:
        advice += f", or build the network with backbone {source.backbone!r}"
    raise InputError(
        f"{source.path} does not fit {wanted!r}: its stages have {units} "
        f"units, which is {known}. {advice}."
    )


def check_complete(
    pretrained: Pretrained, wanted: Mapping[str, Shape], parts: Iterable[str]
) -> None:
    """Checks that arrays and variables of some parts agree one to one.

    Args:
        pretrained: the arrays.
        wanted: shapes of the network's variables.
        parts: those to look at.

    Raises:
        InputError: names arrays that are missing, left over or have another
            shape.
    """
    parts = set(parts)
    given = {n for n in pretrained.arrays if part_of(n) in parts}
    needed = {n for n in wanted if part_of(n) in parts}
    shapes = [
        f"{name} is {pretrained.arrays[name].shape} instead of {wanted[name]}"
        for name in sorted(given & needed)
        if pretrained.arrays[name].shape != wanted[name]
    ]
    faults = {
        "missing": sorted(needed - given),
        "left over": sorted(given - needed),
        "of another shape": shapes,
    }
    texts = [
        f"{len(names)} {fault}: {shortened(names)}"
        for fault, names in faults.items()
        if names
    ]
    if texts:
        raise InputError(
            f"{pretrained.source.path} ({pretrained.source.format}) does not "
            f"fit the network. {'; '.join(texts)}."
        )
