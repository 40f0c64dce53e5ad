"""What a run tells while it trains."""

import math

import tensorflow as tf
from absl import logging

from delg_tf.models.delg import Delg
from delg_tf.training.config import TrainingConfig
from delg_tf.training.history import History
from delg_tf.training.summaries import Summaries


class Reporter:
    """Writes TensorBoard summaries, `history.jsonl` and log lines.

    Args:
        config: the run.
        model: the network.
        strategy: replicas.
        first_step: step that the run goes on from.
        is_chief: others write no files.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: Delg,
        strategy: tf.distribute.Strategy,
        first_step: int,
        is_chief: bool,
    ):
        self._model = model
        self._strategy = strategy
        self._batch_size = config.batch_size
        self._summaries = Summaries(config.logdir, model, is_chief)
        self._history = History(config.logdir, first_step, is_chief)

    def training(
        self,
        step: int,
        metrics: dict[str, tf.Tensor],
        images: object,
        rate: float,
    ) -> str:
        """Reports a training step.

        Args:
            step: its number.
            metrics: scalars.
            images: its batch, distributed.
            rate: steps a second.

        Returns:
            A note for the progress line.
        """
        values = {key: float(value) for key, value in metrics.items()}
        values |= {
            "steps_per_second": rate,
            "images_per_second": rate * self._batch_size,
        }
        if (scale := self._model.global_head.scale) is not None:
            values["scale"] = float(self._local(scale))
        self._summaries.training(step, values)
        self._history.add(step, "train", _finite(values))
        pictures = self._summaries.pictures(step, self._local(images))
        self._history.add(step, "network", _finite(pictures))
        return _note(values)

    def validation(self, step: int, values: dict[str, float]) -> None:
        """Reports losses and accuracies on the validation records."""
        self._summaries.validation(step, values)
        self._history.add(step, "validation", _finite(values))
        logging.info("Validation at step %d: %s", step, _note(values))

    def retrieval(self, step: int, score: float) -> None:
        """Reports the mean average precision among held-out images."""
        self._summaries.validation(step, {"retrieval_map": score})
        values = {"retrieval_map": score}
        self._history.add(step, "retrieval", _finite(values))
        logging.info("Retrieval at step %d: mAP %.2f %%", step, 100 * score)

    def close(self) -> None:
        """Ends the summaries' file."""
        self._summaries.close()

    def _local(self, value: object) -> tf.Tensor:
        return self._strategy.experimental_local_results(value)[0]


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """JSON knows neither NaN nor infinity."""
    return {k: v if math.isfinite(v) else None for k, v in values.items()}


def _note(values: dict[str, float]) -> str:
    return (
        f"loss {values['total']:.3f}: global {values['global']:.3f}, "
        f"reconstruction {values['reconstruction']:.4f}, attention "
        f"{values['attention']:.3f}; accuracy {values['global_accuracy']:.2f} "
        f"and {values['local_accuracy']:.2f}"
    )
