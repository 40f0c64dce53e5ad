"""What training leaves behind: weights and what belongs to them."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, read_json, write_json
from delg_tf.data.class_labels import (
    labels_of_records,
    load_labels,
    save_labels,
)
from delg_tf.data.dataset_info import class_list_of_records
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.models.stored_config import MODEL_FILE

WEIGHTS_NAME = "delf_weights"


@dataclasses.dataclass(frozen=True)
class AttentionStatistics:
    """Attention scores of the trained network on its training images.

    They are the thresholds at extraction: the paper takes the median, and the
    75th percentile for matching pairs.

    Attributes:
        median: 50th percentile of the scores of all cells.
        percentile_75: 75th percentile.
    """

    median: float
    percentile_75: float

    @classmethod
    def of(cls, scores: np.ndarray) -> "AttentionStatistics":
        """Computes them from scores of any shape."""
        median, upper = np.percentile(scores, [50, 75])
        return cls(float(median), float(upper))


@dataclasses.dataclass(frozen=True)
class ModelRecord:
    """Everything about a trained network beside its weights.

    Attributes:
        model: the network.
        attention: thresholds.
        training: flags and figures of the run, for the record.
    """

    model: DelgConfig
    attention: AttentionStatistics
    training: dict


def save_trained_model(
    directory: PathLike, model: Delg, record: ModelRecord
) -> None:
    """Writes weights (TensorFlow format), class labels and `model.json`.

    `model.json` says also which list of classes the records had.

    Args:
        directory: the run's `logdir`.
        model: the network.
        record: what belongs to it.
    """
    directory = pathlib.Path(directory)
    model.save_weights(str(directory / WEIGHTS_NAME))
    save_labels(directory, _labels_by_records(record))
    content = dataclasses.asdict(record)
    content["training"]["class_list"] = class_list(record)
    write_json(directory / MODEL_FILE, content)


def class_labels(directory: PathLike, record: ModelRecord) -> list[str]:
    """What the classes are called.

    Args:
        directory: the run's `logdir`.
        record: of it.

    Returns:
        A name a class; of runs that kept none, those of the records if they
        are still there, or else the numbers.

    Raises:
        InputError: the file does not fit the network.
    """
    labels = load_labels(directory, record.model.num_classes)
    return _labels_by_records(record) if labels is None else labels


def class_list(record: ModelRecord) -> dict[str, Any] | None:
    """Which list of classes the training had.

    Args:
        record: of the run.

    Returns:
        The fields of `data.class_list.ClassList`; of runs that kept none,
        what the records say if they are still there; None where they do not.
    """
    kept = record.training.get("class_list")
    return kept or class_list_of_records(_records_folder(record))


def _labels_by_records(record: ModelRecord) -> list[str]:
    folder = _records_folder(record)
    return labels_of_records(folder, record.model.num_classes)


def _records_folder(record: ModelRecord) -> pathlib.Path:
    return pathlib.Path(record.training.get("train_file_pattern", "")).parent


def load_record(directory: PathLike) -> ModelRecord:
    """Reads `model.json`.

    Raises:
        InputError: it is missing or damaged.
    """
    path = pathlib.Path(directory) / MODEL_FILE
    if not path.is_file():
        raise InputError(
            f"{path} does not exist. It is written when training ends: is "
            f"{directory} the --logdir of a finished training?"
        )
    content = read_json(path)
    try:
        return ModelRecord(
            DelgConfig.from_dict(content["model"]),
            AttentionStatistics(**content["attention"]),
            content["training"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is incomplete: {error}") from error


def load_trained_model(
    directory: PathLike, **changes: object
) -> tuple[Delg, ModelRecord]:
    """Builds the network and loads its weights.

    Args:
        directory: the run's `logdir`.
        **changes: fields of `DelgConfig` that differ from training and do not
            touch weights, e.g. `local_stride`.

    Returns:
        The network, and its record with the changed configuration.

    Raises:
        InputError: files are missing, or the weights belong to another
            network.
    """
    record = load_record(directory)
    config = dataclasses.replace(record.model, **changes)
    model = Delg(config)
    model.build_variables()
    prefix = str(pathlib.Path(directory) / WEIGHTS_NAME)
    try:
        status = model.load_weights(prefix)
        status.assert_existing_objects_matched()
    except (tf.errors.OpError, AssertionError, ValueError) as error:
        raise InputError(
            f"The weights {prefix} cannot be loaded into the network that "
            f"{MODEL_FILE} describes: {error}"
        ) from error
    return model, dataclasses.replace(record, model=config)
