"""Checkpoints that training resumes from."""

import pathlib

import tensorflow as tf
import tf_keras as keras
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import read_json, write_json
from delg_tf.models.delg import Delg
from delg_tf.training.config import TrainingConfig

_FOLDER = "delf_tf2-ckpt"
_CONFIG_FILE = "run.json"
# What the position in the data and the schedule depend on.
_FIXED = (
    "batch_size",
    "seed",
    "max_iters",
    "initial_lr",
    "warmup_steps",
    "image_size",
    "augment",
    "crop_min_area",
    "shuffle_buffer",
)


class Checkpoints:
    """Saves and restores network, optimiser and step.

    The position in the data needs no saving: the input is a function of seed
    and step.

    Args:
        config: the run.
        model: the network, its variables built.
        optimizer: the optimiser, its variables built.

    Raises:
        InputError: `logdir` holds a run of another network.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: Delg,
        optimizer: keras.optimizers.Optimizer,
    ):
        self._check_same_run(config)
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
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
        logging.info("Resumed from %s.", latest)
        return True

    def save(self, step: int) -> None:
        """Saves a checkpoint, once for each step."""
        latest = self._manager.latest_checkpoint or ""
        if not latest.endswith(f"-{step}"):
            self._manager.save(checkpoint_number=step)

    def _check_same_run(self, config: TrainingConfig) -> None:
        path = pathlib.Path(config.logdir) / _CONFIG_FILE
        run = {"model": config.model.to_dict()} | {
            name: getattr(config, name) for name in _FIXED
        }
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
            for name in _FIXED:
                if previous.get(name) != run[name]:
                    logging.warning(
                        "%s was %s in this --logdir and is now %s: the run "
                        "will not equal an uninterrupted one.",
                        name,
                        previous.get(name),
                        run[name],
                    )
        write_json(path, run)
