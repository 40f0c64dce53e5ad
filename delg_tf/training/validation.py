"""Losses and accuracies on the validation records."""

import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.data.pipeline import validation_dataset
from delg_tf.training.devices import distributed, num_workers, worker_index
from delg_tf.training.eval_step import EvalStep
from delg_tf.training.input_errors import input_errors
from delg_tf.training.inputs import Records


def validate(
    step: EvalStep,
    strategy: tf.distribute.Strategy,
    records: Records,
    max_batches: int,
) -> dict[str, float]:
    """Averages losses and accuracies over the validation records.

    Args:
        step: evaluates a batch.
        strategy: replicas.
        records: the validation records.
        max_batches: batches, at most.

    Raises:
        InputError: there are no records, or one does not fit.
    """
    pipeline, index = records.pipeline, records.index
    workers, batch = num_workers(strategy), pipeline.batch_size
    part, parts = worker_index(strategy), workers
    if workers > 1:
        # All workers make the same number of steps: the rest is left out, or,
        # of less than a batch, each worker takes everything.
        max_batches = min(max_batches, max(1, index.images // batch))
        if index.images < batch:
            part, parts, batch = 0, 1, batch * workers
    dataset = validation_dataset(pipeline, index, part, parts)
    dataset = dataset.take(max_batches)
    sums: dict[str, float] = {}
    with input_errors(records):
        for images_and_labels in distributed(strategy, dataset, batch):
            for key, value in step(*images_and_labels).items():
                sums[key] = sums.get(key, 0.0) + float(value)
    images = sums.pop("images", 0.0)
    if not images:
        raise InputError(f"There are no records in {pipeline.file_pattern}.")
    return {key: value / images for key, value in sums.items()}
