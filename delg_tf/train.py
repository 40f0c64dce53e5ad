"""Trains a DELG network: `python -m delg_tf.train --flagfile=...`.

Flags that the official trainer has too keep its names and defaults.
"""

import pathlib

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.data.dataset_info import load_dataset_info
from delg_tf.models.config import STEMS, STRIDE_POSITIONS, DelgConfig
from delg_tf.models.resnet import ARCHITECTURES
from delg_tf.training.config import PRECISIONS, TrainingConfig
from delg_tf.training.devices import DISTRIBUTIONS
from delg_tf.training.losses.total import LossConfig
from delg_tf.training.optimizer_config import (
    OPTIMIZERS,
    SCHEDULES,
    OptimizerConfig,
)
from delg_tf.training.parts import GROUPS
from delg_tf.training.trainer import train

FLAGS = flags.FLAGS
_CLASSES = {"gld_v1": 14951, "gld_v2": 203094, "gld_v2_clean": 81313}

flags.DEFINE_string("logdir", None, "Folder of checkpoints, weights, logs.")
flags.DEFINE_string(
    "train_file_pattern", None, "Glob of the training TFRecords."
)
flags.DEFINE_string(
    "validation_file_pattern",
    None,
    "Glob of the validation TFRecords; none: no validation.",
)
flags.DEFINE_enum(
    "dataset_version",
    None,
    sorted(_CLASSES),
    "Gives the number of classes where neither --num_classes nor "
    "dataset_info.json beside the records does.",
)
flags.DEFINE_integer(
    "num_classes",
    None,
    "Number of classes; default: from dataset_info.json beside the records.",
    lower_bound=2,
)
flags.DEFINE_enum(
    "backbone", "resnet50", sorted(ARCHITECTURES), "The network's trunk."
)
flags.DEFINE_enum(
    "stride_position",
    "last_unit",
    STRIDE_POSITIONS,
    "Where stages have their stride: last_unit (TF-Slim, the paper), "
    "first_unit_1x1 (Keras-Applications, the official code), first_unit_3x3 "
    "(torchvision).",
)
flags.DEFINE_enum(
    "stem",
    None,
    STEMS,
    "Paddings of the first layers; default: those of --stride_position.",
)
flags.DEFINE_bool(
    "block3_strides",
    True,
    "Local features every 32 pixels while training; otherwise every 16.",
)
flags.DEFINE_float("delg_gem_power", 3.0, "Power of the global pooling.")
flags.DEFINE_bool("learn_gem_power", False, "Train the power.")
flags.DEFINE_integer(
    "delg_embedding_layer_dim", 2048, "Length of the global descriptor."
)
flags.DEFINE_float(
    "delg_scale_factor_init",
    None,
    "Start value of the softmax scale; default: sqrt of the descriptor's "
    "length (45.25 for 2048).",
)
flags.DEFINE_bool(
    "learn_scale",
    True,
    "Train the softmax scale (the paper); the official code keeps it fixed.",
)
flags.DEFINE_float("delg_arcface_margin", 0.1, "ArcFace margin in radians.")
flags.DEFINE_bool("use_autoencoder", True, "Reduce local descriptors.")
flags.DEFINE_integer(
    "autoencoder_dimensions", 128, "Length of reduced local descriptors."
)
flags.DEFINE_bool(
    "stop_gradient",
    True,
    "Keep the local losses' gradients out of the backbone.",
)
flags.DEFINE_float("bn_momentum", 0.99, "Of all batch normalisations.")
flags.DEFINE_float("bn_epsilon", 1e-3, "Of all batch normalisations.")
flags.DEFINE_bool(
    "synchronized_bn",
    False,
    "Normalise by the statistics of all replicas together.",
)
flags.DEFINE_float("attention_loss_weight", 1.0, "Weight of that loss.")
flags.DEFINE_float("reconstruction_loss_weight", 10.0, "Weight of that loss.")
flags.DEFINE_enum(
    "optimizer",
    "sgd",
    OPTIMIZERS,
    "SGD with momentum (the paper), or Adam with decoupled weight decay.",
)
flags.DEFINE_float("initial_lr", 0.01, "Learning rate; decays to 0.")
flags.DEFINE_enum("lr_schedule", "linear", SCHEDULES, "Shape of the decay.")
flags.DEFINE_integer("warmup_steps", 0, "Steps of linear warm-up.")
flags.DEFINE_float("momentum", 0.9, "Of SGD.")
flags.DEFINE_float(
    "weight_decay",
    0.0,
    "Decoupled, times the learning rate; not of biases and normalisations.",
)
flags.DEFINE_float(
    "clip_norm", 10.0, "Largest global norm of the gradient; 0: no limit."
)
flags.DEFINE_integer(
    "accumulation_steps",
    1,
    "Compute each step in so many parts, to save memory.",
)
flags.DEFINE_float(
    "ema_decay",
    0.0,
    "Of a moving average of the weights, which is validated and saved in "
    "their place; 0: no average.",
)
flags.DEFINE_list(
    "lr_multipliers",
    [],
    "Factors on the learning rate of parts, e.g. backbone:0.1,block4:0.5; "
    f"parts and groups: {', '.join(sorted(GROUPS))}.",
)
flags.DEFINE_bool("freeze_backbone", False, "Train the heads only.")
flags.DEFINE_integer(
    "freeze_blocks", 0, "Keep the stem and so many first blocks as they are."
)
flags.DEFINE_integer("batch_size", 32, "Images a step, over all replicas.")
flags.DEFINE_integer("max_iters", 500000, "Steps.")
flags.DEFINE_integer("image_size", 321, "Side of the images in pixels.")
flags.DEFINE_bool("use_augmentation", True, "Random crops.")
flags.DEFINE_float(
    "crop_min_area", 0.08, "Smallest share of an image that a crop covers."
)
flags.DEFINE_integer(
    "shuffle_buffer", 10000, "Records that the shuffle draws from."
)
flags.DEFINE_bool(
    "deterministic",
    True,
    "Same input order in every run with the same seed; off is a bit faster.",
)
flags.DEFINE_float(
    "class_balance",
    0.0,
    "0: classes come as often as the data has them; 1: all equally often.",
)
flags.DEFINE_integer(
    "max_bad_records", 0, "Unreadable records that are left out at most."
)
flags.DEFINE_string(
    "cache", None, "Copies of the record files: memory, or a (local) folder."
)
flags.DEFINE_string(
    "data_service",
    None,
    "grpc://host:port of a tf.data service whose workers decode.",
)
flags.DEFINE_integer(
    "decode_threads", 0, "Images decoded at a time; 0: as many as it takes."
)
flags.DEFINE_integer("seed", 0, "Of weights, order and crops.")
flags.DEFINE_enum(
    "precision", "float32", sorted(PRECISIONS), "Of the network's layers."
)
flags.DEFINE_bool(
    "jit_compile", False, "Compile by XLA; slower on CPUs, measure on GPUs."
)
flags.DEFINE_integer(
    "max_bad_steps",
    20,
    "Steps in a row that may be skipped because the loss is not finite.",
)
flags.DEFINE_enum(
    "distribution",
    "mirrored",
    DISTRIBUTIONS,
    "mirrored: the GPUs of this machine, or its CPU; one_device; "
    "multi_worker: all machines that the environment variable TF_CONFIG "
    "lists, each of which runs this command.",
)
flags.DEFINE_integer(
    "replicas", None, "Devices of mirrored; default: all GPUs, or the CPU."
)
flags.DEFINE_string(
    "init_from",
    None,
    "Logdir of a finished training, or exported model, whose weights to start "
    "from; classifiers of other classes start anew.",
)
flags.DEFINE_integer("report_interval", 100, "Steps between summaries.")
flags.DEFINE_integer("eval_interval", 1000, "Steps between validations.")
flags.DEFINE_integer("save_interval", 1000, "Steps between checkpoints.")
flags.DEFINE_integer("eval_batches", 1000, "Batches a validation, at most.")
flags.DEFINE_integer("keep_checkpoints", 10, "Latest checkpoints kept.")
flags.DEFINE_bool(
    "debug",
    False,
    "A short run to try things: 4 images a step, 100 steps, frequent reports.",
)
flags.mark_flags_as_required(["logdir", "train_file_pattern"])


def config_from_flags() -> TrainingConfig:
    """Builds the run's configuration.

    Raises:
        InputError: the number of classes is not known, or a flag is out of
            range.
    """
    model = DelgConfig(
        backbone=FLAGS.backbone,
        num_classes=_num_classes(),
        stride_position=FLAGS.stride_position,
        stem=FLAGS.stem,
        local_stride=32 if FLAGS.block3_strides else 16,
        gem_power=FLAGS.delg_gem_power,
        learn_gem_power=FLAGS.learn_gem_power,
        embedding_dim=FLAGS.delg_embedding_layer_dim,
        scale_init=FLAGS.delg_scale_factor_init,
        learn_scale=FLAGS.learn_scale,
        synchronized_bn=FLAGS.synchronized_bn,
        local_reduction="autoencoder" if FLAGS.use_autoencoder else "none",
        autoencoder_dim=FLAGS.autoencoder_dimensions,
        stop_gradient=FLAGS.stop_gradient,
        bn_momentum=FLAGS.bn_momentum,
        bn_epsilon=FLAGS.bn_epsilon,
    )
    loss = LossConfig(
        FLAGS.delg_arcface_margin,
        FLAGS.reconstruction_loss_weight,
        FLAGS.attention_loss_weight,
    )
    same = (
        "logdir",
        "train_file_pattern",
        "validation_file_pattern",
        "image_size",
        "batch_size",
        "max_iters",
        "crop_min_area",
        "shuffle_buffer",
        "deterministic",
        "class_balance",
        "max_bad_records",
        "cache",
        "data_service",
        "decode_threads",
        "seed",
        "precision",
        "jit_compile",
        "max_bad_steps",
        "distribution",
        "replicas",
        "init_from",
        "report_interval",
        "eval_interval",
        "save_interval",
        "eval_batches",
        "keep_checkpoints",
    )
    values = {name: getattr(FLAGS, name) for name in same}
    if FLAGS.debug:
        values |= {
            "batch_size": 4,
            "max_iters": 100,
            "report_interval": 10,
            "eval_batches": 1,
            "save_interval": 1,
        }
    return TrainingConfig(
        model=model,
        loss=loss,
        optimizer=_optimizer(),
        augment=FLAGS.use_augmentation,
        **values,
    )


def _optimizer() -> OptimizerConfig:
    same = (
        "initial_lr",
        "warmup_steps",
        "momentum",
        "weight_decay",
        "clip_norm",
        "accumulation_steps",
        "ema_decay",
        "freeze_backbone",
        "freeze_blocks",
    )
    return OptimizerConfig(
        kind=FLAGS.optimizer,
        schedule=FLAGS.lr_schedule,
        lr_multipliers=tuple(map(_multiplier, FLAGS.lr_multipliers)),
        **{name: getattr(FLAGS, name) for name in same},
    )


def _multiplier(text: str) -> tuple[str, float]:
    part, _, factor = text.partition(":")
    try:
        return part, float(factor)
    except ValueError as error:
        raise InputError(
            f"--lr_multipliers must be like backbone:0.1. Received: {text!r}"
        ) from error


def _num_classes() -> int:
    folder = pathlib.Path(FLAGS.train_file_pattern).parent
    classes = FLAGS.num_classes
    if (folder / "dataset_info.json").is_file():
        info = load_dataset_info(folder)
        if classes is not None and classes < info.num_classes:
            raise InputError(
                f"--num_classes is {classes}, but {folder} has records of "
                f"{info.num_classes} classes."
            )
        classes = classes or info.num_classes
    if classes is None and FLAGS.dataset_version:
        classes = _CLASSES[FLAGS.dataset_version]
    if classes is None:
        raise InputError(
            f"The number of classes is not known: {folder} has no "
            "dataset_info.json (tools/build_tfrecords.py writes it). Pass "
            "--num_classes or --dataset_version."
        )
    return classes


def main() -> None:
    """Trains by the flags."""
    train(config_from_flags())


if __name__ == "__main__":
    cli.run(main)
