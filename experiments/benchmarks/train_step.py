"""What DELG's training step costs beyond its backbone.

Compares, in one run and taking turns:

* bare: forward and backward pass of the same backbone with global average
  pooling and one softmax; no optimiser;
* step: our whole step (three losses, clipping, momentum, both heads, metrics);
* summaries: the same with TensorBoard scalars and pictures every
  `--report_interval` steps;
* bfloat16: the step in mixed precision.

See README.md here for the command and what it gave.
"""

import json
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import flags

from delg_tf.common import cli
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.models.resnet import build_conv5, build_trunk
from delg_tf.training.devices import make_strategy
from delg_tf.training.losses.total import LossConfig
from delg_tf.training.optimizer import GroupedOptimizer
from delg_tf.training.optimizer_config import OptimizerConfig
from delg_tf.training.precision import precision
from delg_tf.training.step import TrainStep
from delg_tf.training.summaries import Summaries

FLAGS = flags.FLAGS
flags.DEFINE_string("backbone", "resnet50", "The network's trunk.")
flags.DEFINE_integer("image_size", 224, "Side of the images in pixels.")
flags.DEFINE_integer("batch_size", 16, "Images a step.")
flags.DEFINE_integer("num_classes", 1000, "Classes.")
flags.DEFINE_integer("rounds", 7, "Steps of each kind that are timed.")
flags.DEFINE_integer(
    "report_interval", 100, "Steps that the cost of summaries is spread over."
)
flags.DEFINE_bool("json", False, "Print the ratios as JSON in the last line.")

Batch = tuple[tf.Tensor, tf.Tensor]


def _bare(config: DelgConfig) -> Callable[[Batch], None]:
    trunk, conv5 = build_trunk(config), build_conv5(config)
    classifier = keras.Sequential(
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(config.num_classes, dtype="float32"),
        ]
    )

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            block4 = conv5(
                trunk(images, training=True)["conv5_input"], training=True
            )
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels, classifier(block4)
                )
            )
        variables = [
            *trunk.trainable_variables,
            *conv5.trainable_variables,
            *classifier.trainable_variables,
        ]
        gradients = tape.gradient(loss, variables)
        # Computed, but not moved to anywhere.
        return [loss, *[tf.reduce_sum(g[..., :1]) for g in gradients]]

    return lambda batch: step(*batch)[0].numpy()


def _ours(config: DelgConfig, kind: str) -> tuple[Callable, Delg]:
    strategy = make_strategy("one_device")
    options = OptimizerConfig()
    with strategy.scope(), precision(kind):
        model = Delg(config)
        model.build_variables()
        optimizer = GroupedOptimizer(model, options, 1000)
    step = TrainStep(
        model,
        optimizer,
        strategy,
        LossConfig(),
        FLAGS.batch_size,
        options,
    )
    return lambda batch: step(*batch)["total"].numpy(), model


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Times everything in turns, prints medians and ratios."""
    config = DelgConfig(
        backbone=FLAGS.backbone,
        num_classes=FLAGS.num_classes,
        local_stride=32,
    )
    random = np.random.default_rng(0)
    shape = (FLAGS.batch_size, FLAGS.image_size, FLAGS.image_size, 3)
    batch = (
        tf.constant(random.uniform(-1, 1, shape), tf.float32),
        tf.constant(random.integers(0, FLAGS.num_classes, shape[0])),
    )
    step, model = _ours(config, "float32")
    half, _ = _ours(config, "bfloat16")
    bare = _bare(config)
    with tempfile.TemporaryDirectory() as folder:
        summaries = Summaries(folder, model)
        kinds = {
            "bare": lambda: bare(batch),
            "step": lambda: step(batch),
            "bfloat16": lambda: half(batch),
            "summaries": lambda: summaries.pictures(1, batch[0]),
        }
        for call in kinds.values():  # Traces, and warms up.
            call()
            call()
        times = {name: [] for name in kinds}
        for _ in range(FLAGS.rounds):
            for name, call in kinds.items():
                times[name].append(_seconds(call))
    _report({name: float(np.median(t)) for name, t in times.items()}, times)


def _report(medians: dict[str, float], times: dict[str, list]) -> None:
    for name, seconds in medians.items():
        low, high = min(times[name]), max(times[name])
        print(f"{name:10s} {seconds:7.3f} s  ({low:.3f} to {high:.3f})")
    with_summaries = medians["step"] + medians["summaries"] / (
        FLAGS.report_interval
    )
    result = {
        "overhead": medians["step"] / medians["bare"] - 1,
        "overhead_with_summaries": with_summaries / medians["bare"] - 1,
        "bfloat16_speedup": medians["step"] / medians["bfloat16"],
        "images_per_second": FLAGS.batch_size / medians["step"],
    }
    for name, value in result.items():
        print(f"{name}: {value:.3f}")
    if FLAGS.json:
        print(json.dumps({k: round(v, 4) for k, v in result.items()}))


if __name__ == "__main__":
    cli.run(main)
