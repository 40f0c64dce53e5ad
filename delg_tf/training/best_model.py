"""The best network of a run, by its retrieval among held-out images."""

import pathlib

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.models.delg import Delg
from delg_tf.training.trained_model import (
    MODEL_FILE,
    ModelRecord,
    load_record,
    save_trained_model,
)

_FOLDER = "best"
_SCORE = "retrieval_map"


class BestModel:
    """Keeps the best network in `<logdir>/best`, a trained model of its own.

    Args:
        logdir: the run's directory.
    """

    def __init__(self, logdir: str):
        self._folder = pathlib.Path(logdir) / _FOLDER

    @property
    def score(self) -> float:
        """Of the best so far; -1 without one."""
        if not (self._folder / MODEL_FILE).is_file():
            return -1.0
        return float(load_record(self._folder).training.get(_SCORE, -1.0))

    def keep(
        self, model: Delg, record: ModelRecord, score: float, step: int
    ) -> None:
        """Puts a network in the place of the best.

        Args:
            model: the network.
            record: what belongs to it.
            score: its mean average precision.
            step: when it was reached.
        """
        record.training.update({_SCORE: score, "step": step})
        with atomic_directory(
            self._folder, MODEL_FILE, overwrite=True
        ) as folder:
            save_trained_model(folder, model, record)
