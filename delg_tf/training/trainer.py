"""The training loop."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.models.delg import Delg
from delg_tf.training.averaging import WeightAverage
from delg_tf.training.best_model import BestModel
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
from delg_tf.training.initialisation import start_from
from delg_tf.training.input_errors import input_errors
from delg_tf.training.inputs import Inputs
from delg_tf.training.interruption import Interruption
from delg_tf.training.loss_scale import LossScale
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.parts import freeze
from delg_tf.training.precision import precision
from delg_tf.training.profiling import Profiler
from delg_tf.training.projector import Projector
from delg_tf.training.reporting import Reporter
from delg_tf.training.retrieval_validation import (
    AveragePrecision,
    Describer,
    HeldOut,
    mean_average_precision,
)
from delg_tf.training.step import TrainStep
from delg_tf.training.thresholds import AttentionScores
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
        average_precision: of ascending ranks (from 0) of right images; for
            `config.retrieval_file_pattern`.
        strategy: replicas; None: by `config.replicas`.
    """

    def __init__(
        self,
        config: TrainingConfig,
        average_precision: AveragePrecision | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.config = config
        if config.retrieval_file_pattern and average_precision is None:
            raise ValueError(
                "`average_precision` must be given with "
                "`retrieval_file_pattern`. Received: None"
            )
        self._average_precision = average_precision
        self.strategy = strategy or make_strategy(
            config.distribution, config.replicas
        )
        self._worker = worker_index(self.strategy)
        self._workers = num_workers(self.strategy)
        keras.utils.set_random_seed(config.seed)
        self._check_batch_size()
        self._inputs = Inputs(config)
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
        self._attention_scores = AttentionScores(self.model)
        self._set_up_retrieval()
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

    def _set_up_retrieval(self) -> None:
        """Makes what searching among held-out images needs, if it is wanted."""
        config = self.config
        self._held_out = self._projector = None
        if self._inputs.retrieval is None:
            return
        self._held_out = HeldOut(
            self._inputs.retrieval, config.retrieval_images
        )
        self._describer = Describer(self.model)
        if config.projector and self._worker == 0:
            self._projector = Projector(config.logdir, self._held_out)

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
        self._reporter = Reporter(
            config,
            self.model,
            self.strategy,
            self.step,
            is_chief=self._worker == 0,
        )
        # Read once: workers must not see each other's.
        self._best_score = BestModel(config.logdir).score
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
        profiler = Profiler(
            config.logdir, config.profile_steps if self._worker == 0 else None
        )
        for images, labels in self._batches(step, last):
            profiler.before_step(step + 1)
            metrics = self._train_step(images, labels)
            step += 1
            stopped = self._stop_requested(step, interruption)
            ends = step == last or stopped
            if step % _CHECK_INTERVAL == 0 or ends:
                self._check_bad_steps(step)
            note = ""
            if step % config.report_interval == 0 or ends:
                note = self._reporter.training(
                    step, self._described(step, metrics), images, progress.rate
                )
            progress.advance(note=note)
            if step % config.eval_interval == 0 or step == last:
                self._validate(step)
            if self._held_out is not None and (
                step % config.retrieval_interval == 0 or step == last
            ):
                self._check_retrieval(step)
            if step % config.save_interval == 0 or ends:
                self._checkpoints.save(step)
            if stopped:
                break
        profiler.stop()
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
        dataset = self._inputs.training(
            step, part=self._worker, parts=self._workers
        ).take(max(0, last - step))
        with input_errors(self._inputs.train):
            yield from distributed(self.strategy, dataset, config.batch_size)

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

    def _validate(self, step: int) -> None:
        config = self.config
        if self._inputs.validation is None:
            return
        with self._averaged():
            values = validate(
                self._eval_step,
                self.strategy,
                self._inputs.validation,
                config.eval_batches,
            )
        self._reporter.validation(step, values)

    def _check_retrieval(self, step: int) -> None:
        """Searches among held-out images; keeps the network if it is best."""
        with self._averaged():
            descriptors, labels = self._describer.describe(self._held_out)
            score = mean_average_precision(
                descriptors, labels, self._average_precision
            )
            self._reporter.retrieval(step, score)
            if not score > self._best_score:  # Nor if it is not a number.
                return
            self._best_score = score
            with written_by_chief(
                self.config.logdir, self._worker == 0
            ) as logdir:
                BestModel(logdir).keep(self.model, self._record(), score, step)
        if self._projector is not None:
            self._projector.write(step, descriptors, labels)

    def _described(
        self, step: int, metrics: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Metrics of a step with what else its optimiser knows."""
        metrics = metrics | {"learning_rate": self.optimizer.schedule(step - 1)}
        if self._loss_scale is not None:
            metrics["loss_scale"] = self._local(self._loss_scale.scale)
        return metrics

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
        with self._averaged():
            record = self._record()
            record.training["seconds_of_last_run"] = round(seconds, 1)
            with written_by_chief(config.logdir, self._worker == 0) as logdir:
                save_trained_model(logdir, self.model, record)
                # With the class list, as a later call of this run has it.
                record = load_record(logdir)
        self._reporter.close()
        logging.info(
            "Saved %s; attention: median %.4g, 75th percentile %.4g.",
            pathlib.Path(config.logdir),
            record.attention.median,
            record.attention.percentile_75,
        )
        return record

    def _record(self) -> ModelRecord:
        """What belongs to the network as it is now."""
        config = self.config
        training = dataclasses.asdict(config)
        training["images_per_epoch"] = self._inputs.images_per_epoch
        del training["model"]
        with input_errors(self._inputs.train):
            attention = self._attention_scores.statistics(
                self._inputs.training(0, service=False), config.batch_size
            )
        return ModelRecord(config.model, attention, training)


def train(
    config: TrainingConfig, average_precision: AveragePrecision | None = None
) -> ModelRecord | None:
    """Trains a network, or goes on with it, and saves it in `logdir`.

    Args:
        config: the run.
        average_precision: see `Trainer`.

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
        return Trainer(config, average_precision).run()
