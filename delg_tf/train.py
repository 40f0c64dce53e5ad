"""Trains a DELG network: `python -m delg_tf.train --flagfile=...`."""

from delg_tf.common import cli
from delg_tf.evaluation.metrics.revisited import average_precision
from delg_tf.training.flags import run
from delg_tf.training.trainer import train

run.define_training_flags()


def main() -> None:
    """Trains by the flags."""
    train(run.training_config(), average_precision)


if __name__ == "__main__":
    cli.run(main)
