"""What classifiers of very many classes cost a training step.

Runs the step's part from the descriptors on: classes sampled or not, both
heads, their losses, gradients, clipping, SGD with momentum. Each setting runs
in processes of its own: one is timed, the memory of the other is watched. The
second does without oneDNN, whose allocator keeps what was freed. Needs Linux.

See README.md here for the command and what it gave.
"""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS
flags.DEFINE_list("classes", ["81313", "203094"], "Numbers of classes.")
flags.DEFINE_list("shares", ["1", "0.1"], "Values of --partial_fc.")
flags.DEFINE_integer("dim", 2048, "Length of the global descriptor.")
flags.DEFINE_integer(
    "local_dim",
    0,
    "Length of the pooled local features (R50: 1024), for the local head; 0: "
    "the global head alone.",
    lower_bound=0,
)
flags.DEFINE_integer("batch_size", 32, "Examples a step.", lower_bound=1)
flags.DEFINE_integer("steps", 5, "Steps that are timed.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of weights, descriptors and labels.")
flags.DEFINE_bool("json", False, "Print the figures as JSON in the last line.")
flags.DEFINE_string("one", None, "Used by the program itself: one setting.")

_GIB = 2**30


class MemoryWatch(threading.Thread):
    """Looks every few milliseconds how much memory this process has.

    Attributes:
        peak: bytes at most since the start.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        """Watches as long as the process lives."""
        while True:
            self.peak = max(self.peak, self.now())
            time.sleep(0.002)

    @staticmethod
    def now() -> int:
        """Bytes in memory."""
        pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def measure(num_classes: int, share: float) -> dict[str, float]:
    """Runs one setting in this process.

    Args:
        num_classes: classes.
        share: of the classes that are drawn a step; 1: all.

    Returns:
        `memory`, bytes at most during the steps beyond what TensorFlow alone
        takes, and `seconds` a step, the median.
    """
    # Not at the top: the process that starts the others stays small.
    import tensorflow as tf
    import tf_keras as keras

    tf.linalg.matmul(tf.ones([8, 8]), tf.ones([8, 8])).numpy()
    watch = MemoryWatch()
    nothing = watch.now()
    keras.utils.set_random_seed(FLAGS.seed)
    batch, seconds = FLAGS.batch_size, []
    step = _make_step(num_classes, share)
    watch.start()
    for _ in range(2 + FLAGS.steps):
        arguments = (
            tf.random.normal([batch, FLAGS.dim]),
            tf.random.normal([batch, FLAGS.local_dim]),
            tf.random.uniform([batch], 0, num_classes, tf.int64),
        )
        start = time.perf_counter()
        loss = float(step(*arguments))
        seconds.append(time.perf_counter() - start)
        if not np.isfinite(loss):
            raise RuntimeError(f"The loss is {loss}.")
    return {
        "memory": watch.peak - nothing,
        "seconds": float(np.median(seconds[2:])),
    }


def _make_step(num_classes: int, share: float) -> Callable:
    """The part of a training step from the descriptors on.

    It takes the global descriptors `[batch, dim]`, the pooled local features
    `[batch, local_dim]` and the labels int `[batch]`, and returns the loss.
    """
    import tensorflow as tf

    from delg_tf.models.class_sampler import ClassSampler
    from delg_tf.models.cosine_head import CosineHead
    from delg_tf.models.linear_head import LinearHead
    from delg_tf.training.losses.arcface import arcface_loss
    from delg_tf.training.losses.cross_entropy import cross_entropy
    from delg_tf.training.sgd import MomentumSGD
    from delg_tf.training.sparse_gradients import sum_repeated_rows

    cosine, linear = CosineHead(num_classes), LinearHead(num_classes)
    cosine.build((None, FLAGS.dim))
    variables = cosine.trainable_variables
    if FLAGS.local_dim:
        linear.build((None, FLAGS.local_dim))
        variables = variables + linear.trainable_variables
    sampler = ClassSampler(num_classes, share) if share < 1 else None
    optimizer = MomentumSGD(0.01, momentum=0.9, jit_compile=False)
    optimizer.build(variables)

    @tf.function
    def step(
        embeddings: tf.Tensor, pooled: tf.Tensor, labels: tf.Tensor
    ) -> tf.Tensor:
        classes, targets, weights = None, labels, None
        if sampler is not None:
            classes, targets, weights = sampler(labels)
        with tf.GradientTape() as tape:
            cosines = cosine(embeddings, classes)
            loss = tf.reduce_mean(
                arcface_loss(
                    cosines, targets, cosine.scale, log_weights=weights
                )
            )
            if FLAGS.local_dim:
                logits = linear(pooled, classes)
                loss += tf.reduce_mean(
                    cross_entropy(logits, targets, log_weights=weights)
                )
        gradients = tape.gradient(loss, variables)
        gradients = [sum_repeated_rows(gradient) for gradient in gradients]
        gradients, _ = tf.clip_by_global_norm(gradients, 10.0)
        optimizer.apply_gradients(zip(gradients, variables))
        return loss

    return step


def _in_own_process(
    num_classes: int, share: float, onednn: bool
) -> dict[str, float]:
    names = ("dim", "local_dim", "batch_size", "steps", "seed")
    command = [sys.executable, __file__, f"--one={num_classes},{share}"]
    command += [f"--{name}={getattr(FLAGS, name)}" for name in names]
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": str(int(onednn))}
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment
    )
    if result.returncode:
        raise InputError(
            f"{num_classes} classes, share {share}: the process ended with "
            f"{result.returncode}. Is there enough memory? {result.stderr}"
        )
    return json.loads(result.stdout.splitlines()[-1])


def _numbers(name: str, kind: type) -> list:
    values = getattr(FLAGS, name)
    try:
        return [kind(value) for value in values]
    except ValueError as error:
        raise InputError(
            f"--{name} must be numbers with commas between them. Received: "
            f"{','.join(values)}"
        ) from error


def main() -> None:
    """Measures the settings of the flags."""
    if FLAGS.one:
        num_classes, share = FLAGS.one.split(",")
        print(json.dumps(measure(int(num_classes), float(share))))
        return
    rows = []
    print("| classes | partial_fc | weights, GiB | memory, GiB | s a step |")
    print("|---:|---:|---:|---:|---:|")
    for num_classes in _numbers("classes", int):
        for share in _numbers("shares", float):
            memory, seconds = (
                _in_own_process(num_classes, share, onednn)[what]
                for what, onednn in (("memory", False), ("seconds", True))
            )
            weights = num_classes * (FLAGS.dim + FLAGS.local_dim) * 4
            row = {
                "classes": num_classes,
                "partial_fc": share,
                "weights_gib": weights / _GIB,
                "memory_gib": memory / _GIB,
                "seconds": seconds,
            }
            rows.append({key: round(value, 3) for key, value in row.items()})
            print(
                f"| {num_classes} | {share:g} | {row['weights_gib']:.2f} | "
                f"{row['memory_gib']:.2f} | {row['seconds']:.2f} |",
                flush=True,
            )
    if FLAGS.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    cli.run(main)
