"""The training loop."""

import contextlib
import dataclasses
import math
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.data.pipeline import (
    PipelineConfig,
    count_records,
    training_dataset,
    validation_dataset,
)
from delg_tf.data.records import find_record_files
from delg_tf.models.delg import Delg
from delg_tf.training.checkpoints import Checkpoints
from delg_tf.training.config import PRECISIONS, TrainingConfig
from delg_tf.training.devices import make_strategy
from delg_tf.training.history import History
from delg_tf.training.schedule import LinearDecay
from delg_tf.training.step import EvalStep, TrainStep
from delg_tf.training.summaries import Summaries
from delg_tf.training.trained_model import (
    MODEL_FILE,
    AttentionStatistics,
    ModelRecord,
    load_record,
    save_trained_model,
)

# Images whose attention scores give the thresholds.
_THRESHOLD_IMAGES = 2048


class Trainer:
    """Trains a DELG network; see `train`.

    Args:
        config: the run.
        strategy: replicas; None: by `config.replicas`.
    """

    def __init__(
        self,
        config: TrainingConfig,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.config = config
        keras.utils.set_random_seed(config.seed)
        self.strategy = strategy or make_strategy(config.replicas)
        replicas = self.strategy.num_replicas_in_sync
        if config.batch_size % replicas:
            raise InputError(
                f"`batch_size` must be a multiple of the {replicas} replicas. "
                f"Received: {config.batch_size}"
            )
        self._schedule = LinearDecay(
            config.initial_lr, config.max_iters, config.warmup_steps
        )
        with self.strategy.scope(), _precision(config.precision):
            self.model = Delg(config.model)
            self.model.build_variables()
            self.optimizer = keras.optimizers.SGD(
                self._schedule, momentum=config.momentum
            )
            self.optimizer.build(self.model.trainable_variables)
        self._train_step = TrainStep(
            self.model,
            self.optimizer,
            self.strategy,
            config.loss,
            config.batch_size,
            config.clip_norm,
        )
        self._eval_step = EvalStep(self.model, self.strategy, config.loss)
        self._images_per_epoch = config.images_per_epoch or count_records(
            config.train_file_pattern
        )
        self._checkpoints = Checkpoints(config, self.model, self.optimizer)

    @property
    def step(self) -> int:
        """Steps done, those of earlier runs included."""
        replica_values = self.strategy.experimental_local_results(
            self.optimizer.iterations
        )
        return int(replica_values[0])

    def run(self) -> ModelRecord | None:
        """Trains from where the last run stopped to the end.

        Returns:
            The record of the finished model; None if `stop_at` came first.
        """
        self._checkpoints.restore()
        if (record := self._finished()) is not None:
            return record
        config = self.config
        last = min(config.max_iters, config.stop_at or config.max_iters)
        self._summaries = Summaries(config.logdir, self.model)
        history = History(config.logdir, self.step)
        start = time.monotonic()
        with Progress(
            config.max_iters, "Training", "step", done=self.step
        ) as progress:
            for images, labels in self._batches(last):
                metrics = self._train_step(images, labels)
                step = self.step
                if step % config.report_interval == 0 or step == last:
                    values = self._report(step, metrics, progress.rate)
                    history.add(step, "train", values)
                    pictures = self._local(images)
                    history.add(
                        step,
                        "network",
                        self._summaries.pictures(step, pictures),
                    )
                    progress.advance(note=_note(values))
                else:
                    progress.advance()
                if step % config.eval_interval == 0 or step == last:
                    self._validate(step, history)
                if step % config.save_interval == 0 or step == last:
                    self._checkpoints.save(step)
        if last < config.max_iters:
            return None
        return self._finish(time.monotonic() - start)

    def _batches(self, last: int) -> Iterator[tuple]:
        """Distributed batches from the current step on."""
        config = self.config
        dataset = training_dataset(
            self._pipeline(config.train_file_pattern, config.augment),
            self._images_per_epoch,
            first_image=self.step * config.batch_size,
        ).take(max(0, last - self.step))
        distributed = self.strategy.experimental_distribute_dataset(dataset)
        with _data_errors(config.train_file_pattern):
            yield from distributed

    def _pipeline(self, pattern: str, augment: bool) -> PipelineConfig:
        config = self.config
        return PipelineConfig(
            pattern,
            config.model.num_classes,
            config.image_size,
            config.batch_size,
            augment,
            config.crop_min_area,
            config.shuffle_buffer,
            config.seed,
            config.deterministic,
        )

    def _local(self, value: object) -> tf.Tensor:
        """This process's first replica's part of a distributed value."""
        return self.strategy.experimental_local_results(value)[0]

    def _report(
        self, step: int, metrics: dict[str, tf.Tensor], rate: float
    ) -> dict[str, float]:
        values = {key: float(value) for key, value in metrics.items()}
        if not math.isfinite(values["total"]):
            raise InputError(
                f"The loss is {values['total']} at step {step}. Lower "
                "`initial_lr` or lengthen `warmup_steps`, and start again "
                "from the last checkpoint in `logdir`."
            )
        values |= {
            "learning_rate": float(self._schedule(step - 1)),
            "scale": float(self._local(self.model.global_head.scale)),
            "steps_per_second": rate,
        }
        self._summaries.training(step, values)
        return values

    def _validate(self, step: int, history: History) -> None:
        """Averages losses and accuracies over the validation records."""
        config = self.config
        if config.validation_file_pattern is None:
            return
        pattern = config.validation_file_pattern
        dataset = validation_dataset(self._pipeline(pattern, augment=False))
        dataset = dataset.take(config.eval_batches)
        sums: dict[str, float] = {}
        with _data_errors(pattern):
            for batch in self.strategy.experimental_distribute_dataset(dataset):
                for key, value in self._eval_step(*batch).items():
                    sums[key] = sums.get(key, 0.0) + float(value)
        images = sums.pop("images", 0.0)
        if not images:
            raise InputError(f"There are no records in {pattern}.")
        values = {key: value / images for key, value in sums.items()}
        self._summaries.validation(step, values)
        history.add(step, "validation", values)
        logging.info("Validation at step %d: %s", step, _note(values))

    def _finished(self) -> ModelRecord | None:
        """The record that an earlier run to the same end has left."""
        config = self.config
        path = pathlib.Path(config.logdir) / MODEL_FILE
        if self.step < config.max_iters or not path.is_file():
            return None
        record = load_record(config.logdir)
        # Another number belongs to the end before a prolongation.
        if record.training.get("max_iters") != config.max_iters:
            return None
        logging.info("%s is finished already.", config.logdir)
        return record

    def _finish(self, seconds: float) -> ModelRecord:
        """Measures the attention thresholds and saves the model."""
        config = self.config
        training = dataclasses.asdict(config) | {
            "images_per_epoch": self._images_per_epoch,
            "seconds_of_last_run": round(seconds, 1),
        }
        del training["model"]
        record = ModelRecord(
            config.model, self._attention_statistics(), training
        )
        save_trained_model(config.logdir, self.model, record)
        self._summaries.close()
        logging.info(
            "Saved %s; attention: median %.4g, 75th percentile %.4g.",
            pathlib.Path(config.logdir),
            record.attention.median,
            record.attention.percentile_75,
        )
        return record

    def _attention_statistics(self) -> AttentionStatistics:
        """Percentiles of the scores over training images, as at inference."""
        config = self.config
        dataset = training_dataset(
            self._pipeline(config.train_file_pattern, config.augment),
            self._images_per_epoch,
        ).take(max(1, _THRESHOLD_IMAGES // config.batch_size))
        model = self.model

        @tf.function
        def scores(images: tf.Tensor) -> tf.Tensor:
            block3 = model.trunk(images, training=False)["block3"]
            return model.attention(block3, training=False)

        with _data_errors(config.train_file_pattern):
            return AttentionStatistics.of(
                np.concatenate(
                    [scores(images).numpy().ravel() for images, _ in dataset]
                )
            )


@contextlib.contextmanager
def _data_errors(pattern: str) -> Iterator[None]:
    """Turns TensorFlow's errors about records into clear ones."""
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        raise InputError(
            f"A record of {pattern} is damaged or does not fit: {error.message}"
        ) from error


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    """Layers made in the block compute in this precision."""
    previous = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(PRECISIONS[name])
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(previous)


def _note(values: dict[str, float]) -> str:
    return (
        f"loss {values['total']:.3f}: global {values['global']:.3f}, "
        f"reconstruction {values['reconstruction']:.4f}, attention "
        f"{values['attention']:.3f}; accuracy {values['global_accuracy']:.2f} "
        f"and {values['local_accuracy']:.2f}"
    )


def train(config: TrainingConfig) -> ModelRecord | None:
    """Trains a network, or goes on with it, and saves it in `logdir`.

    Args:
        config: the run.

    Returns:
        The record of the finished model; None if `config.stop_at` came first.

    Raises:
        InputError: the records, the flags or an earlier run in `logdir` do
            not fit.
    """
    # Found out before the network is built and the first steps are made.
    for pattern in (config.train_file_pattern, config.validation_file_pattern):
        if pattern is not None:
            find_record_files(pattern)
    try:
        pathlib.Path(config.logdir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {config.logdir} cannot be made: {error.strerror}. "
            "Choose another --logdir."
        ) from error
    return Trainer(config).run()
