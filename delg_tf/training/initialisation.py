"""Weights to start from, of a network of ours."""

import pathlib

import numpy as np
import tensorflow as tf
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.models.stored_config import stored_config
from delg_tf.training.trained_model import MODEL_FILE, load_trained_model
from delg_tf.weights.assign import adapted_gain

# Depend on the classes, which a new task has others of.
_HEADS = ("global_head", "local_head")
_BACKBONE = ("conv1", "block")
_POWER = "pooling/power:0"
_SCALE = "global_head/scale:0"
# What the backbone's weights mean, though their shapes do not show it: with
# another value they are worth little more than random ones.
_MEANING = ("backbone", "input_normalisation", "stride_position", "stem_kind")
# To other values of these the layers behind can adapt.
_ADAPTABLE = ("pooling", "gem_power")

Weights = dict[str, tf.Variable]


def source_config(path: str) -> DelgConfig | None:
    """Reads what network `start_from` would take the weights of.

    Args:
        path: the `logdir` of a finished training, or an exported model.

    Returns:
        Its configuration; None if it is an export that does not tell.

    Raises:
        InputError: there is no such network, or its description is damaged.
    """
    directory = pathlib.Path(path)
    config = stored_config(directory)
    if config is None and not (directory / "saved_model.pb").is_file():
        raise InputError(
            f"--init_from: {path} is neither the --logdir of a finished "
            f"training ({MODEL_FILE}) nor an exported model (saved_model.pb)."
        )
    return config


def start_from(model: Delg, path: str) -> None:
    """Takes the weights of a trained or exported network.

    A classifier is taken if it is there, of the same kind, and has as many
    classes; otherwise it keeps its random start. Everything else must fit,
    except that an export has only the parts that it computes. Another
    `bn_epsilon` is made up for, as by `weights.assign`.

    Args:
        model: the network to train, built.
        path: the `logdir` of a finished training, or an exported model.

    Raises:
        InputError: there is no such network, it does not fit, or the network
            to train would understand its weights otherwise.
    """
    config = source_config(path)
    if config is None:
        logging.warning(
            "--init_from: %s does not tell how its network was trained: "
            "strides, stem and input normalisation are those of the flags.",
            path,
        )
        config = model.config
    _check_meaning(model.config, config, path)
    directory = pathlib.Path(path)
    if (directory / MODEL_FILE).is_file():
        source, _ = load_trained_model(directory)
        weights = _named(source.weights)
    else:
        weights = _exported_weights(directory)
    _leave_out_what_flags_set(model, weights, config)
    _take(model, weights, config.bn_epsilon, path)


def _check_meaning(wanted: DelgConfig, source: DelgConfig, path: str) -> None:
    """Compares what shapes do not show."""
    for name in _MEANING + _ADAPTABLE:
        old, new = getattr(source, name), getattr(wanted, name)
        if old == new:
            continue
        name = name.removesuffix("_kind")
        if name in _ADAPTABLE:
            logging.warning(
                "--init_from: %s was trained with `%s` %s, and this network "
                "has %s: the global descriptor must adapt.",
                path,
                name,
                old,
                new,
            )
            continue
        raise InputError(
            f"--init_from: {path} was trained with `{name}` {old!r}, and this "
            f"network has {new!r}, to which its weights mean something else. "
            f"Leave --{name} out, so that it is taken from there, or start "
            "from another network."
        )


def _exported_weights(directory: pathlib.Path) -> Weights:
    try:
        exported = tf.saved_model.load(str(directory))
        return _named(exported.model_variables)
    except (OSError, ValueError, AttributeError, tf.errors.OpError) as error:
        raise InputError(
            f"--init_from: the model {directory} cannot be loaded, or is not "
            f"an export of ours: {error}"
        ) from error


def _named(variables: list[tf.Variable]) -> Weights:
    """Variables by name, without the network's own prefix."""
    return {
        variable.name.removeprefix("delg/"): variable for variable in variables
    }


def _leave_out_what_flags_set(
    model: Delg, weights: Weights, source: DelgConfig
) -> None:
    """Removes scalars for which this run has values of its own."""
    config = model.config
    if config.scale_init is not None:
        weights.pop(_SCALE, None)
    if config.gem_power != source.gem_power:
        weights.pop(_POWER, None)
    fixed = config.pooling == "gem" and not config.learn_gem_power
    if _POWER in weights and fixed:
        logging.warning(
            "--init_from: the pooling's power was trained to %.4g there, and "
            "is %.4g here, where it is not trained; see --delg_gem_power.",
            weights[_POWER].numpy(),
            config.gem_power,
        )


def _take(model: Delg, weights: Weights, epsilon: float, path: str) -> None:
    targets = _named(model.weights)
    new_heads = _heads_that_differ(targets, weights)
    taken, kept, wrong = [], [], []
    for name, variable in targets.items():
        source, part = weights.get(name), name.split("/")[0]
        # The sampler's counter belongs to its own run.
        if part in new_heads or part == "class_sampler":
            kept.append(name)
        elif source is None:
            kept.append(name)
            if name.startswith(_BACKBONE):
                wrong.append(f"{name} is missing")
        elif source.shape == variable.shape:
            taken.append(name)
        else:
            wrong.append(f"{name} {source.shape} for {variable.shape}")
    wrong += [
        f"{name} is left over"
        for name in weights
        if name.startswith(_BACKBONE) and name not in targets
    ]
    if wrong:
        raise InputError(
            f"--init_from: {path} is of another network: "
            f"{'; '.join(wrong[:5])}"
            + (f" and {len(wrong) - 5} more." if wrong[5:] else ".")
        )
    for name in taken:
        value = _value(weights, name, epsilon, model.config.bn_epsilon)
        targets[name].assign(value)
    logging.info(
        "%d variables start from %s; new: %s.",
        len(taken),
        path,
        ", ".join(sorted({name.split("/")[0] for name in kept})) or "none",
    )


def _heads_that_differ(targets: Weights, weights: Weights) -> set[str]:
    """Classifiers that do not fit as a whole, but for the softmax scale."""
    return {
        name.split("/")[0]
        for name, variable in targets.items()
        if name.startswith(_HEADS)
        and name != _SCALE
        and (name not in weights or weights[name].shape != variable.shape)
    }


def _value(
    weights: Weights, name: str, trained: float, used: float
) -> np.ndarray:
    """A variable's value, a gain adapted to the epsilon that is used."""
    value = weights[name].numpy()
    layer, _, kind = name.rpartition("/")
    if kind != "gamma:0":
        return value
    variance = weights[f"{layer}/moving_variance:0"].numpy()
    return adapted_gain(value, variance, trained, used)
