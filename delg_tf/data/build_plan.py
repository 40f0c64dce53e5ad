"""Which image becomes which record of which file."""

import dataclasses
import hashlib
import itertools
import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data import shards, sources, split
from delg_tf.data.build_options import BuildOptions
from delg_tf.data.shard_job import ShardJob
from delg_tf.data.sources import Source


@dataclasses.dataclass(frozen=True)
class Plan:
    """The record files of each split.

    Attributes:
        jobs: by split, in the order of the files.
        identity: what makes this data set this one and no other, as JSON
            values: image counts, classes, seed, hash of the sources.
        num_classes: labels lie in [0, num_classes).
        class_names: old name of each label, or None; see `sources.Source`.
        validation_split_size: None without a validation split.
    """

    jobs: dict[str, list[ShardJob]]
    identity: dict[str, object]
    num_classes: int
    class_names: list[str] | None
    validation_split_size: float | None

    def all_jobs(self) -> list[ShardJob]:
        """Returns the jobs of all splits."""
        return [job for jobs in self.jobs.values() for job in jobs]


def find_sources(options: BuildOptions) -> dict[str, Source]:
    """Returns the origins of training and test images, by split.

    Raises:
        InputError: a CSV or a folder is wrong.
    """
    origins = {}
    if options.class_folders_directory:
        origins[shards.TRAIN] = sources.class_folders(
            options.class_folders_directory
        )
    elif options.labelled_csv_path:
        origins[shards.TRAIN] = sources.labelled_list(
            options.labelled_csv_path,
            options.images_directory,
            options.relabel,
        )
    elif options.train_directory:
        origins[shards.TRAIN] = sources.gldv2_training(
            options.train_directory,
            options.train_csv_path,
            options.train_clean_csv_path,
            options.relabel,
            options.drop_landmarks,
        )
    if options.test_directory:
        origins[shards.TEST] = sources.gldv2_test(
            options.test_directory, options.test_csv_path
        )
    return origins


def make_plan(options: BuildOptions, origins: dict[str, Source]) -> Plan:
    """Decides which image belongs into which record of which file.

    Raises:
        InputError: a validation split is asked for, but not possible.
    """
    output = pathlib.Path(options.output_directory)
    jobs, digest = {}, hashlib.sha256()
    order = _positions(options, origins)
    for name, positions in order.items():
        origin = origins[_origin(name)]
        ends = shards.shard_boundaries(len(positions), options.num_shards)
        jobs[name] = []
        for i, (begin, end) in enumerate(itertools.pairwise(ends)):
            chosen = positions[begin:end]
            job = ShardJob(
                output / shards.shard_name(name, i, options.num_shards),
                origin.images.take(chosen),
                None if origin.labels is None else origin.labels[chosen],
                options.max_image_pixels,
            )
            jobs[name].append(job)
            digest.update(f"{job.path.name} {job.source_hash()}\n".encode())
    train = origins.get(shards.TRAIN)
    num_classes = train.num_classes if train else 0
    class_names = train.class_names if train else None
    digest.update(ascii((num_classes, class_names)).encode())
    split_up = shards.VALIDATION in order
    validation_part = options.validation_split_size if split_up else None
    identity = {
        "images": {name: len(chosen) for name, chosen in order.items()},
        "num_classes": num_classes,
        "num_shards": options.num_shards,
        "max_image_pixels": options.max_image_pixels,
        "seed": options.seed,
        "validation_split_size": validation_part,
        "source_hash": digest.hexdigest(),
    }
    return Plan(jobs, identity, num_classes, class_names, validation_part)


def _positions(
    options: BuildOptions, origins: dict[str, Source]
) -> dict[str, np.ndarray]:
    """Returns the order of the records of each split, as image positions."""
    order = {}
    if shards.TRAIN in origins:
        labels = origins[shards.TRAIN].labels
        if options.generate_train_validation_splits:
            training, validation = split.train_validation_split(
                labels, options.validation_split_size, options.seed
            )
            if not validation.size:
                raise InputError(
                    "No validation split is possible: every class has one "
                    "image. Leave out --generate_train_validation_splits."
                )
            order = {shards.TRAIN: training, shards.VALIDATION: validation}
        else:
            # Readers shuffle within a buffer only; classes must not arrive
            # one after the other.
            order = {
                shards.TRAIN: split.shuffled_order(len(labels), options.seed)
            }
    if shards.TEST in origins:
        order[shards.TEST] = np.arange(len(origins[shards.TEST].images))
    return order


def _origin(split_name: str) -> str:
    return shards.TEST if split_name == shards.TEST else shards.TRAIN
