"""Does the input pipeline keep up with the training step?

Makes JPEGs of the demo photographs, 512 to 1,024 pixels on the longer
side, and measures, in one run and taking turns, images a second of

* the pipeline alone: as it is, with one decoding thread, with records cached
  in memory, and with balanced classes;
* the training step alone, on images that lie in memory.

See README.md here for the command and what it gave.
"""

import dataclasses
import io
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.common.progress import track
from delg_tf.data import pipeline
from delg_tf.data.records import atomic_record_writer, encode_example
from delg_tf.data.shards import shard_name
from delg_tf.data.synthetic.photographs import load_photographs
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.training.config import PRECISIONS
from delg_tf.training.losses.total import LossConfig
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.precision import precision
from delg_tf.training.step import TrainStep

FLAGS = flags.FLAGS
flags.DEFINE_integer("images", 240, "JPEGs that are made.", lower_bound=1)
flags.DEFINE_integer("longest_side", 1024, "Of the largest, in pixels.")
flags.DEFINE_list(
    "image_sizes", ["128", "224", "321", "512"], "Sides of what comes out."
)
flags.DEFINE_list(
    "steps",
    ["resnet50:224", "resnet_small:128"],
    "Training steps to compare with, as backbone:image_size.",
)
flags.DEFINE_integer("batch_size", 32, "Images a batch.", lower_bound=1)
flags.DEFINE_integer(
    "batches", 16, "Batches of the pipeline in a round.", lower_bound=1
)
flags.DEFINE_integer("rounds", 5, "Rounds that are timed.", lower_bound=1)
flags.DEFINE_enum("precision", "float32", sorted(PRECISIONS), "Of the steps.")
flags.DEFINE_integer("seed", 0, "Of the JPEGs and the stream.")
flags.DEFINE_bool("json", False, "Print the rates as JSON in the last line.")

CLASSES, SHARDS = 100, 8
VARIANTS = {
    "pipeline": {},
    "one thread": {"parallelism": 1},
    "cached": {"cache": pipeline.MEMORY},
    "balanced": {"class_balance": 1.0},
}


def make_records(folder: pathlib.Path) -> float:
    """Writes the records; returns the mean size of their JPEGs in bytes."""
    random = np.random.default_rng(FLAGS.seed)
    photographs = [
        Image.fromarray(photograph.pixels)
        for group in load_photographs().values()
        for photograph in group
    ]
    sizes = []
    for shard in track(range(SHARDS), "Making JPEGs", "file"):
        path = folder / shard_name("train", shard, SHARDS)
        with atomic_record_writer(path) as writer:
            for number in range(shard, FLAGS.images, SHARDS):
                photograph = photographs[random.integers(len(photographs))]
                image = _view(photograph, random)
                data = io.BytesIO()
                image.save(data, "JPEG", quality=90)
                sizes.append(data.tell())
                width, height = image.size
                # Long-tailed, as landmarks are.
                label = int(CLASSES * random.random() ** 3)
                name = str(number).encode()
                writer.write(
                    encode_example(data.getvalue(), name, height, width, label)
                )
    return statistics.mean(sizes)


def _view(photograph: Image.Image, random: np.random.Generator) -> Image.Image:
    """A random part of a photograph, 4:3, at a random size."""
    longest = int(random.integers(FLAGS.longest_side // 2, FLAGS.longest_side))
    width = min(photograph.width, photograph.height * 4 / 3)
    width *= random.uniform(0.7, 1.0)
    left = random.uniform(0, photograph.width - width)
    top = random.uniform(0, photograph.height - width * 3 / 4)
    box = (left, top, left + width, top + width * 3 / 4)
    size = (longest, longest * 3 // 4)
    return photograph.resize(size, Image.Resampling.LANCZOS, box)


def pipeline_rates(
    folder: pathlib.Path,
) -> dict[str, Callable[[], float]]:
    """What measures each variant at each size, in images a second."""
    measures = {}
    for size in FLAGS.image_sizes:
        config = pipeline.PipelineConfig(
            str(folder / "train-*"),
            CLASSES,
            int(size),
            FLAGS.batch_size,
            shuffle_buffer=1000,
            seed=FLAGS.seed,
        )
        for name, changes in VARIANTS.items():
            dataset = pipeline.training_dataset(
                dataclasses.replace(config, **changes), FLAGS.images
            )
            if name == "cached":  # One epoch fills the cache.
                for _ in dataset.take(FLAGS.images // FLAGS.batch_size + 1):
                    pass
            measures[f"{name} {size}"] = _rate_of(dataset)
    return measures


def _rate_of(dataset: tf.data.Dataset) -> Callable[[], float]:
    def measure() -> float:
        batches: Iterator = iter(dataset)
        # The shuffle buffer fills, and what is prefetched is not counted.
        for _ in range(3):
            next(batches)
        start = time.perf_counter()
        for _ in range(FLAGS.batches):
            next(batches)
        seconds = time.perf_counter() - start
        return FLAGS.batches * FLAGS.batch_size / seconds

    return measure


def step_rate(backbone: str, size: int) -> Callable[[], float]:
    """What measures the whole training step, in images a second."""
    with precision(FLAGS.precision):
        model = Delg(DelgConfig(backbone=backbone, num_classes=1000))
        model.build_variables()
        optimizer = GroupedOptimizer(model, OptimizerConfig(), 1000)
    step = TrainStep(
        model,
        optimizer,
        tf.distribute.get_strategy(),
        LossConfig(),
        FLAGS.batch_size,
        OptimizerConfig(),
    )
    random = np.random.default_rng(FLAGS.seed)
    shape = (FLAGS.batch_size, size, size, 3)
    images = tf.constant(random.uniform(-1, 1, shape), tf.float32)
    labels = tf.constant(random.integers(0, 1000, FLAGS.batch_size))
    for _ in range(2):  # Traces, and warms up.
        step(images, labels)["total"].numpy()

    def measure() -> float:
        start = time.perf_counter()
        step(images, labels)["total"].numpy()
        return FLAGS.batch_size / (time.perf_counter() - start)

    return measure


def main() -> None:
    """Measures everything in turns; prints medians, ranges and ratios."""
    steps = dict(_backbone_and_size(text) for text in FLAGS.steps)
    with tempfile.TemporaryDirectory() as folder:
        mean_size = make_records(pathlib.Path(folder))
        print(
            f"{FLAGS.images} JPEGs of {mean_size / 1000:.0f} kB on average, "
            f"{os.cpu_count()} cores"
        )
        measures = pipeline_rates(pathlib.Path(folder))
        for backbone, size in steps.items():
            measures[f"{backbone} {size}"] = step_rate(backbone, size)
        rates = {name: [] for name in measures}
        for _ in track(range(FLAGS.rounds), "Measuring", "round"):
            for name, measure in measures.items():
                rates[name].append(measure())
    _report(rates, steps)


def _backbone_and_size(text: str) -> tuple[str, int]:
    backbone, _, size = text.partition(":")
    if not size.isdigit() or size not in FLAGS.image_sizes:
        raise InputError(
            "--steps must be like resnet50:224, with a size of --image_sizes. "
            f"Received: {text}"
        )
    return backbone, int(size)


def _report(rates: dict[str, list[float]], steps: dict[str, int]) -> None:
    medians = {name: statistics.median(of) for name, of in rates.items()}
    for name, median in medians.items():
        low, high = min(rates[name]), max(rates[name])
        print(f"{name:18} {median:8.1f} images/s  ({low:.1f} to {high:.1f})")
    result = {f"{name}": round(median, 2) for name, median in medians.items()}
    for backbone, size in steps.items():
        ratio = medians[f"pipeline {size}"] / medians[f"{backbone} {size}"]
        print(f"pipeline against the step of {backbone}: {ratio:.2f} times")
        result[f"pipeline_to_step {backbone} {size}"] = round(ratio, 3)
    if FLAGS.json:
        print(json.dumps(result))


if __name__ == "__main__":
    cli.run(main)
