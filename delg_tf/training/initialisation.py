"""Weights to start from, of a network of ours."""

import pathlib

import tensorflow as tf
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.models.delg import Delg
from delg_tf.training.trained_model import MODEL_FILE, load_trained_model

# Depend on the classes, which a new task has others of.
_HEADS = ("global_head", "local_head")


def start_from(model: Delg, path: str) -> None:
    """Takes the weights of a trained or exported network.

    The classifiers are taken if they are there and have as many classes;
    otherwise they keep their random start. Everything else must fit, except
    that an export has only the parts that it computes.

    Args:
        model: the network to train, built.
        path: the `logdir` of a finished training, or an exported model.

    Raises:
        InputError: there is no such network, or it does not fit.
    """
    directory = pathlib.Path(path)
    if (directory / MODEL_FILE).is_file():
        source, _ = load_trained_model(directory)
        weights = _named(source.weights)
    elif (directory / "saved_model.pb").is_file():
        weights = _exported_weights(directory)
    else:
        raise InputError(
            f"--init_from: {path} is neither the --logdir of a finished "
            f"training ({MODEL_FILE}) nor an exported model (saved_model.pb)."
        )
    _take(model, weights, path)


def _exported_weights(directory: pathlib.Path) -> dict[str, tf.Variable]:
    try:
        exported = tf.saved_model.load(str(directory))
        return _named(exported.model_variables)
    except (OSError, ValueError, AttributeError, tf.errors.OpError) as error:
        raise InputError(
            f"--init_from: the model {directory} cannot be loaded, or is not "
            f"an export of ours: {error}"
        ) from error


def _named(variables: list[tf.Variable]) -> dict[str, tf.Variable]:
    """Variables by name, without the network's own prefix."""
    return {
        variable.name.removeprefix("delg/"): variable for variable in variables
    }


def _take(model: Delg, weights: dict[str, tf.Variable], path: str) -> None:
    taken, kept, wrong = [], [], []
    for name, variable in _named(model.weights).items():
        source = weights.get(name)
        if source is not None and source.shape == variable.shape:
            taken.append((variable, source))
        elif name.split("/")[0] in _HEADS or source is None:
            kept.append(name)
        else:
            wrong.append(f"{name} {source.shape} for {variable.shape}")
    missing = [name for name in kept if name.split("/")[0] not in _HEADS]
    backbone_missing = [n for n in missing if n.startswith(("conv1", "block"))]
    if wrong or backbone_missing:
        problems = wrong + [f"{name} is missing" for name in backbone_missing]
        raise InputError(
            f"--init_from: {path} is of another network: "
            f"{'; '.join(problems[:5])}"
            + (f" and {len(problems) - 5} more." if problems[5:] else ".")
        )
    for variable, source in taken:
        variable.assign(source.numpy())
    logging.info(
        "%d variables start from %s; random: %s.",
        len(taken),
        path,
        ", ".join(sorted({name.split("/")[0] for name in kept})) or "none",
    )
