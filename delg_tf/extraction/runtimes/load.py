"""Loads an exported model in the way in which it can be run."""

import contextlib
import logging as python_logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.export.metadata import load_metadata
from delg_tf.extraction.levels.choice import make_runtime
from delg_tf.extraction.runtimes.base import FeatureModel
from delg_tf.extraction.runtimes.graph import GraphModel, is_graph
from delg_tf.extraction.runtimes.levels import LevelsModel
from delg_tf.extraction.runtimes.signature import SIGNATURE, SignatureModel


def load_model(
    path: PathLike,
    is_tf2_exported: bool,
    outputs: Sequence[str],
    runtime: str = "auto",
    precision: str = "auto",
) -> FeatureModel:
    """Loads a SavedModel.

    What the file can do decides; a configuration that says otherwise is
    followed by a warning.

    Args:
        path: folder of the SavedModel.
        is_tf2_exported: whether the configuration wants it run by its
            signature (true) or by the names of its tensors.
        outputs: the outputs to be asked for.
        runtime: what runs an export of ours, one of `levels.base.RUNTIMES`;
            all other models are run by TensorFlow.
        precision: of it, one of `levels.base.PRECISIONS`.

    Raises:
        InputError: it is missing or damaged, does not give the outputs, or
            cannot be run as asked.
    """
    path = pathlib.Path(path)
    loaded = load_saved_model(path)
    metadata = load_metadata(path)
    if metadata is not None and metadata.windows:
        # Its signature is checked, too: what it lacks, the levels lack.
        SignatureModel(loaded, path, outputs)
        chosen = make_runtime(loaded, path, runtime, precision)
        return LevelsModel(metadata, chosen, outputs)
    fits = runtime in ("auto", "tensorflow") and precision in (
        "auto",
        "float32",
    )
    if not fits:
        raise InputError(
            f"{path} is no export of this version of delg-tf; other models "
            "are run by --runtime=tensorflow in float32. Export it again."
        )
    return _whole_graph(loaded, path, is_tf2_exported, outputs)


def load_saved_model(path: pathlib.Path) -> Any:
    """Loads the SavedModel in a folder.

    Raises:
        InputError: it is missing or damaged.
    """
    if not (path / "saved_model.pb").is_file():
        raise InputError(
            f"`model_path`: {path} is no SavedModel folder (it has no "
            "saved_model.pb). tools/export_model.py makes one."
        )
    try:
        with _no_warnings():
            return tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise InputError(f"The model {path} cannot be loaded: {error}") from (
            error
        )


def _whole_graph(
    loaded: Any,
    path: pathlib.Path,
    is_tf2_exported: bool,
    outputs: Sequence[str],
) -> FeatureModel:
    """A model that runs the pyramid in its own graph."""
    by_names = is_graph(loaded) and not (
        is_tf2_exported and SIGNATURE in loaded.signatures
    )
    if by_names == is_tf2_exported:
        logging.warning(
            "The configuration says `is_tf2_exported: %s`, but %s is a %s "
            "SavedModel; it is run as one. Change the field.",
            str(is_tf2_exported).lower(),
            path,
            "TF1-style" if by_names else "TF2",
        )
    kind = GraphModel if by_names else SignatureModel
    with _no_warnings():
        return kind(loaded, path, outputs)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Holds back TensorFlow's warnings.

    For each variable of the released models it says a dozen times that it
    could not be trained.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(python_logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
