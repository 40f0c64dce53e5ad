"""From arrays to the variables of a network."""

import dataclasses

import numpy as np
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.models.delg import Delg
from delg_tf.weights.check import check_backbone_kind, check_complete
from delg_tf.weights.collect import reasons
from delg_tf.weights.names import part_of
from delg_tf.weights.source import PARTS, Pretrained, WeightsSource

_CLASSIFIERS = ("global_head", "local_head")


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What loading did.

    Attributes:
        source: the weights.
        variables: number of variables filled, by part.
        parameters: number of values in them.
        skipped: parts that the file has and the network could not take, and
            why.
        untouched: parts of the network that the file does not have; they
            keep their values.
        left_out: arrays of the file without a use here, and why.
    """

    source: WeightsSource
    variables: dict[str, int]
    parameters: int
    skipped: dict[str, str]
    untouched: tuple[str, ...]
    left_out: dict[str, str]

    def summary(self) -> str:
        """The report in a few lines."""
        filled = ", ".join(f"{k} ({v})" for k, v in self.variables.items())
        lines = [
            f"{self.source.path} ({self.source.format}, "
            f"{self.source.backbone}): {self.parameters:,} values into the "
            f"variables of {filled}"
        ]
        lines += [
            f"skipped {part}: {why}" for part, why in self.skipped.items()
        ]
        if self.untouched:
            lines.append(f"as before: {', '.join(self.untouched)}")
        return "\n".join([*lines, *reasons(self.left_out)])


def variables_by_name(model: Delg) -> dict[str, tf.Variable]:
    """The network's variables by the names of `Pretrained.arrays`."""
    named = {
        variable.name.split(":")[0]: variable
        for network in (model.trunk, model.conv5)
        for variable in network.variables
    }
    for part in PARTS[1:]:
        layer = getattr(model, part)
        for variable in layer.variables if layer is not None else ():
            _, _, rest = variable.name.partition(f"{part}/")
            named[f"{part}/{rest.split(':')[0]}"] = variable
    return named


def assign_weights(
    model: Delg, pretrained: Pretrained, check_network: bool = True
) -> LoadReport:
    """Fills the network with all parts that the weights have.

    A classifier of other classes, or of another kind, is skipped: training
    starts a new one. A batch normalisation's epsilon that differs from the
    network's is made up for in its gain, exactly so outside training.

    Args:
        model: its variables built.
        pretrained: the weights.
        check_network: whether strides, stem and input normalisation must be
            those that the weights were trained with, too.

    Raises:
        InputError: the weights belong to another network, or an array is
            missing, left over, or has another shape. The network is then as
            it was.
    """
    source = pretrained.source
    check_backbone_kind(pretrained, model.config.backbone)
    if check_network:
        _check_network(model, source)
    targets = variables_by_name(model)
    skipped = {
        part: why
        for part in source.parts
        if (why := _reason_to_skip(part, model, pretrained, targets))
    }
    parts = [part for part in source.parts if part not in skipped]
    shapes = {name: tuple(v.shape) for name, v in targets.items()}
    check_complete(pretrained, shapes, parts)
    counts, values = dict.fromkeys(parts, 0), 0
    epsilons = source.bn_epsilon, model.config.bn_epsilon
    for name, variable in targets.items():
        if part_of(name) in counts:
            variable.assign(_value(pretrained.arrays, name, *epsilons))
            counts[part_of(name)] += 1
            values += int(np.prod(variable.shape))
    present = {part_of(name) for name in targets}
    return LoadReport(
        source,
        counts,
        values,
        skipped,
        tuple(p for p in PARTS if p in present and p not in source.parts),
        pretrained.left_out,
    )


def _check_network(model: Delg, source: WeightsSource) -> None:
    config = model.config
    actual = {
        "input_normalisation": config.input_normalisation,
        "stride_position": config.stride_position,
        "stem": config.stem_kind,
    }
    expected = source.config_fields()
    wrong = [
        f"{name} is {value!r} and should be {expected[name]!r}"
        for name, value in actual.items()
        if value != expected[name]
    ]
    if wrong:
        raise InputError(
            f"The network does not compute what {source.path} "
            f"({source.format}) was trained for: {'; '.join(wrong)}."
        )


def _reason_to_skip(
    part: str,
    model: Delg,
    pretrained: Pretrained,
    targets: dict[str, tf.Variable],
) -> str | None:
    """Why a part of the file has no counterpart in the network."""
    given = {n: a for n, a in pretrained.arrays.items() if part_of(n) == part}
    needed = {n: v for n, v in targets.items() if part_of(n) == part}
    if not needed:
        return "the network has none"
    other = model.config.local_reduction != "autoencoder"
    if part == "local_reduction" and other:
        return "the network reduces its local descriptors otherwise"
    if part in _CLASSIFIERS:
        common = sorted(given.keys() & needed.keys())
        if not common:
            return "the network's classifier is of another kind"
        for name in common:
            old, new = given[name].shape, tuple(needed[name].shape)
            if old != new:
                return (
                    f"its {name} is {old}, the network's {new}: a new "
                    "classifier is trained"
                )
    return None


def _value(
    arrays: dict[str, np.ndarray], name: str, trained: float, used: float
) -> np.ndarray:
    """An array, a gain adapted to the epsilon that the network uses."""
    array = arrays[name]
    layer, _, variable = name.rpartition("/")
    if variable != "gamma":
        return array
    return adapted_gain(
        array, arrays[f"{layer}/moving_variance"], trained, used
    )


def adapted_gain(
    gain: np.ndarray, variance: np.ndarray, trained: float, used: float
) -> np.ndarray:
    """Makes up for another epsilon of a batch normalisation.

    Args:
        gain: float32 `[channels]`, gamma.
        variance: float32 `[channels]`, moving.
        trained: epsilon of the training.
        used: epsilon of the network that gets the gain.

    Returns:
        float32 `[channels]`, with which the layer computes the same outside
        training.
    """
    if trained == used:
        return gain
    variance = variance.astype(np.float64)
    ratio = np.sqrt((variance + used) / (variance + trained))
    return (gain * ratio).astype(np.float32)
