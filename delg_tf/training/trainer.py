"""The training loop."""

import contextlib
import dataclasses
import math
import pathlib
import time
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.data.pipeline import (
    PipelineConfig,
    check_records,
    training_dataset,
)
from delg_tf.models.delg import Delg
from delg_tf.training.averaging import WeightAverage
from delg_tf.training.checkpoints import Checkpoints, written_by_chief
from delg_tf.training.config import TrainingConfig
from delg_tf.training.devices import (
    distributed,
    lost_workers,
    make_strategy,
    num_workers,
    worker_index,
)
from delg_tf.training.eval_step import EvalStep
from delg_tf.training.history import History
from delg_tf.training.initialisation import start_from
from delg_tf.training.input_errors import input_errors
from delg_tf.training.interruption import Interruption
from delg_tf.training.loss_scale import LossScale
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.parts import freeze
from delg_tf.training.precision import precision
from delg_tf.training.step import TrainStep
from delg_tf.training.summaries import Summaries
from delg_tf.training.thresholds import attention_statistics
from delg_tf.training.trained_model import (
    MODEL_FILE,
    ModelRecord,
    load_record,
    save_trained_model,
)
from delg_tf.training.validation import validate
from delg_tf.weights.load import load_pretrained

# Steps between two looks at the number of bad steps.
_CHECK_INTERVAL = 10


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
        self.strategy = strategy or make_strategy(
            config.distribution, config.replicas
        )
        self._worker = worker_index(self.strategy)
        self._workers = num_workers(self.strategy)
        keras.utils.set_random_seed(config.seed)
        self._check_batch_size()
        self._look_over_records()
        self._build()
        self._train_step = TrainStep(
            self.model,
            self.optimizer,
            self.strategy,
            config.loss,
            config.batch_size,
            config.optimizer,
            self._loss_scale,
            self._average,
            config.jit_compile,
        )
        self._eval_step = EvalStep(self.model, self.strategy, config.loss)
        parts = {"loss_scale": self._loss_scale, "average": self._average}
        self._checkpoints = Checkpoints(
            config,
            self._worker == 0,
            model=self.model,
            optimizer=self.optimizer,
            **{name: part for name, part in parts.items() if part is not None},
        )

    def _check_batch_size(self) -> None:
        config = self.config
        replicas = self.strategy.num_replicas_in_sync
        parts = config.optimizer.accumulation_steps
        if config.batch_size % (replicas * parts):
            raise InputError(
                f"`batch_size` must be a multiple of the {replicas} replicas "
                f"times the {parts} accumulation steps. Received: "
                f"{config.batch_size}"
            )

    def _look_over_records(self) -> None:
        """Finds what is wrong with them before anything else takes time."""
        config = self.config
        self._train_input = self._pipeline(
            config.train_file_pattern, config.augment
        )
        self._train_index = check_records(self._train_input)
        self._images_per_epoch = self._train_index.images
        self._validation_input = self._validation_index = None
        if config.validation_file_pattern is not None:
            self._validation_input = dataclasses.replace(
                self._pipeline(config.validation_file_pattern, augment=False),
                class_balance=0.0,
                service=None,
            )
            self._validation_index = check_records(self._validation_input)

    def _build(self) -> None:
        """Makes all variables."""
        config = self.config
        with self.strategy.scope(), precision(config.precision):
            self.model = Delg(config.model)
            freeze(
                self.model,
                config.optimizer.freeze_backbone,
                config.optimizer.freeze_blocks,
            )
            self.model.build_variables()
            self.optimizer = GroupedOptimizer(
                self.model, config.optimizer, config.max_iters
            )
            self._average = self._loss_scale = None
            if config.optimizer.ema_decay:
                self._average = WeightAverage(
                    self.optimizer.variables_to_train,
                    config.optimizer.ema_decay,
                )
            if config.precision == "float16":
                self._loss_scale = LossScale()

    @property
    def step(self) -> int:
        """Steps done, those of earlier runs included."""
        return int(self._local(self.optimizer.iterations))

    def run(self) -> ModelRecord | None:
        """Trains from where the last run stopped to the end.

        Returns:
            The record of the finished model; None if `stop_at`, or a request
            to stop, came first.
        """
        if not self._checkpoints.restore():
            self._initialise()
        if (record := self._finished()) is not None:
            return record
        config = self.config
        last = min(config.max_iters, config.stop_at or config.max_iters)
        chief = self._worker == 0
        self._summaries = Summaries(config.logdir, self.model, chief)
        self._history = History(config.logdir, self.step, chief)
        start = time.monotonic()
        with (
            Progress(
                config.max_iters, "Training", "step", done=self.step
            ) as progress,
            Interruption() as interruption,
        ):
            step = self._loop(last, progress, interruption)
        if step < config.max_iters:
            logging.info("Stopped at step %d; run again to go on.", step)
            return None
        return self._finish(time.monotonic() - start)

    def _initialise(self) -> None:
        """Takes weights from elsewhere for a run that begins."""
        config = self.config
        if config.init_from:
            start_from(self.model, config.init_from)
        if config.init_checkpoint:
            load_pretrained(
                self.model, config.init_checkpoint, config.init_format
            )
        if self._average is not None:
            self._average.restart()

    def _loop(
        self, last: int, progress: Progress, interruption: Interruption
    ) -> int:
        """Makes steps up to `last`; returns the last one made."""
        config = self.config
        step = self.step
        for images, labels in self._batches(step, last):
            metrics = self._train_step(images, labels)
            step += 1
            stopped = self._stop_requested(step, interruption)
            ends = step == last or stopped
            if step % _CHECK_INTERVAL == 0 or ends:
                self._check_bad_steps(step)
            note = ""
            if step % config.report_interval == 0 or ends:
                note = self._report(step, metrics, images, progress.rate)
            progress.advance(note=note)
            if step % config.eval_interval == 0 or step == last:
                self._validate(step)
            if step % config.save_interval == 0 or ends:
                self._checkpoints.save(step)
            if stopped:
                break
        return step

    def _stop_requested(self, step: int, interruption: Interruption) -> bool:
        """Whether a worker was asked to stop; all of them hear the same."""
        if self._workers == 1:
            return interruption.requested
        if step % _CHECK_INTERVAL:
            return False
        asked = tf.constant(float(interruption.requested))
        return float(self._any_worker(asked)) > 0

    @tf.function
    def _any_worker(self, asked: tf.Tensor) -> tf.Tensor:
        values = self.strategy.run(lambda: tf.identity(asked))
        return self.strategy.reduce(
            tf.distribute.ReduceOp.SUM, values, axis=None
        )

    def _batches(self, step: int, last: int) -> Iterator[tuple]:
        """Distributed batches from a step on."""
        config = self.config
        dataset = training_dataset(
            self._train_input,
            self._images_per_epoch,
            first_image=step * config.batch_size,
            index=self._train_index,
            part=self._worker,
            parts=self._workers,
        ).take(max(0, last - step))
        with input_errors(config.train_file_pattern):
            yield from distributed(self.strategy, dataset, config.batch_size)

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
            config.class_balance,
            config.max_bad_records,
            config.cache,
            config.data_service,
            config.decode_threads,
        )

    def _local(self, value: object) -> tf.Tensor:
        """This process's first replica's part of a distributed value."""
        return self.strategy.experimental_local_results(value)[0]

    def _check_bad_steps(self, step: int) -> None:
        bad = int(self._local(self._train_step.bad_steps))
        if bad > self.config.max_bad_steps:
            raise InputError(
                f"The loss or its gradient was not finite in the {bad} steps "
                f"up to step {step}; none of them was applied. Lower "
                "`initial_lr` or lengthen `warmup_steps`, and go on from the "
                "last checkpoint in `logdir`."
            )

    def _report(
        self,
        step: int,
        metrics: dict[str, tf.Tensor],
        images: object,
        rate: float,
    ) -> str:
        """Writes scalars and pictures; returns the progress line's note."""
        values = {key: float(value) for key, value in metrics.items()}
        values |= {
            "learning_rate": float(self.optimizer.schedule(step - 1)),
            "steps_per_second": rate,
            "images_per_second": rate * self.config.batch_size,
        }
        if (scale := self.model.global_head.scale) is not None:
            values["scale"] = float(self._local(scale))
        if self._loss_scale is not None:
            values["loss_scale"] = float(self._local(self._loss_scale.scale))
        self._summaries.training(step, values)
        self._history.add(step, "train", _finite(values))
        pictures = self._summaries.pictures(step, self._local(images))
        self._history.add(step, "network", _finite(pictures))
        return _note(values)

    def _validate(self, step: int) -> None:
        config = self.config
        if self._validation_input is None:
            return
        with self._averaged():
            values = validate(
                self._eval_step,
                self.strategy,
                self._validation_input,
                self._validation_index,
                config.eval_batches,
            )
        self._summaries.validation(step, values)
        self._history.add(step, "validation", _finite(values))
        logging.info("Validation at step %d: %s", step, _note(values))

    def _averaged(self) -> contextlib.AbstractContextManager:
        """Within the block the network has the averaged weights, if any."""
        if self._average is None:
            return contextlib.nullcontext()
        return self._average.applied()

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
        dataset = training_dataset(
            dataclasses.replace(self._train_input, service=None),
            self._images_per_epoch,
            index=self._train_index,
        )
        with self._averaged(), input_errors(config.train_file_pattern):
            attention = attention_statistics(
                self.model, dataset, config.batch_size
            )
            record = ModelRecord(config.model, attention, training)
            with written_by_chief(config.logdir, self._worker == 0) as logdir:
                save_trained_model(logdir, self.model, record)
        self._summaries.close()
        logging.info(
            "Saved %s; attention: median %.4g, 75th percentile %.4g.",
            pathlib.Path(config.logdir),
            attention.median,
            attention.percentile_75,
        )
        return record


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


def train(config: TrainingConfig) -> ModelRecord | None:
    """Trains a network, or goes on with it, and saves it in `logdir`.

    Args:
        config: the run.

    Returns:
        The record of the finished model; None if `config.stop_at`, or
        SIGTERM, came first.

    Raises:
        InputError: the records, the flags or an earlier run in `logdir` do
            not fit; or another worker was lost.
    """
    try:
        pathlib.Path(config.logdir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {config.logdir} cannot be made: {error.strerror}. "
            "Choose another --logdir."
        ) from error
    with lost_workers(config.distribution):
        return Trainer(config).run()
