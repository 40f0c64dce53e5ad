"""Checkpoints that training resumes from."""

import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import TypeAlias

import tensorflow as tf
import tf_keras as keras
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import read_json, write_json
from delg_tf.training.config import TrainingConfig

Trackable: TypeAlias = tf.Module | keras.Model
_FOLDER = "delf_tf2-ckpt"
_CONFIG_FILE = "run.json"
# What the position in the data and the schedule depend on.
_FIXED = (
    "batch_size",
    "seed",
    "max_iters",
    "image_size",
    "augment",
    "crop_min_area",
    "shuffle_buffer",
)


class Checkpoints:
    """Saves and restores everything that a run consists of.

    The position in the data needs no saving: the input is a function of seed
    and step.

    Args:
        config: the run.
        is_chief: whether this process's files are those that stay.
        **parts: what is saved: the network, the optimiser, ..., their
            variables built.

    Raises:
        InputError: `logdir` holds a run of another network.
    """

    def __init__(
        self,
        config: TrainingConfig,
        is_chief: bool = True,
        **parts: Trackable,
    ):
        self._is_chief = is_chief
        self._saved_step: int | None = None
        self._check_same_run(config)
        self._checkpoint = tf.train.Checkpoint(**parts)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(pathlib.Path(config.logdir) / _FOLDER),
            max_to_keep=config.keep_checkpoints,
            keep_checkpoint_every_n_hours=config.keep_every_hours,
        )

    def restore(self) -> bool:
        """Restores the latest checkpoint, if there is one.

        Raises:
            InputError: it does not belong to this network.
        """
        latest = self._manager.latest_checkpoint
        if latest is None:
            return False
        try:
            status = self._checkpoint.restore(latest)
            status.assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise InputError(
                f"The checkpoint {latest} cannot be restored: {error}"
            ) from error
        self._saved_step = int(latest.rpartition("-")[2])
        logging.info("Resumed from %s.", latest)
        return True

    def save(self, step: int) -> None:
        """Saves a checkpoint, once for each step."""
        if self._saved_step == step:
            return
        self._saved_step = step
        if self._is_chief:
            self._manager.save(checkpoint_number=step)
            return
        # Variables that differ between workers are summed for the file, so
        # all workers must take part.
        with tempfile.TemporaryDirectory() as folder:
            self._checkpoint.write(str(pathlib.Path(folder) / "ckpt"))

    def _check_same_run(self, config: TrainingConfig) -> None:
        path = pathlib.Path(config.logdir) / _CONFIG_FILE
        run = {
            "model": config.model.to_dict(),
            # As JSON gives it back.
            "optimizer": json.loads(
                json.dumps(dataclasses.asdict(config.optimizer))
            ),
        } | {name: getattr(config, name) for name in _FIXED}
        if path.exists():
            previous = read_json(path)
            try:
                different = sorted(
                    key
                    for key, value in previous["model"].items()
                    if value != run["model"].get(key)
                )
            except (AttributeError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path} is damaged. Choose another --logdir or remove it."
                ) from error
            if different:
                raise InputError(
                    f"{config.logdir} holds a run of another network: "
                    f"{', '.join(different)} differ. Choose another --logdir "
                    "or remove it."
                )
            for name in ("optimizer", *_FIXED):
                if previous.get(name) != run[name]:
                    logging.warning(
                        "%s was %s in this --logdir and is now %s: the run "
                        "will not equal an uninterrupted one.",
                        name,
                        previous.get(name),
                        run[name],
                    )
        if self._is_chief:
            write_json(path, run)


@contextlib.contextmanager
def written_by_chief(logdir: str, is_chief: bool) -> Iterator[str]:
    """Gives the folder to write to: another one, soon gone, for all others.

    All workers must take part in writing variables that differ between them.
    """
    if is_chief:
        yield logdir
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder
