"""Flags of a run: data, devices, intervals."""

from absl import flags

from delg_tf.training.config import PRECISIONS, TrainingConfig
from delg_tf.training.devices import DISTRIBUTIONS
from delg_tf.training.flags.loss import define_loss_flags, loss_config
from delg_tf.training.flags.network import (
    define_network_flags,
    network_config,
)
from delg_tf.training.flags.optimizer import (
    define_optimizer_flags,
    optimizer_config,
)
from delg_tf.training.profiling import parse_steps
from delg_tf.weights.source import FORMATS

FLAGS = flags.FLAGS
# Flags with the names of their fields.
_SAME = (
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
    "init_checkpoint",
    "init_format",
    "report_interval",
    "eval_interval",
    "save_interval",
    "eval_batches",
    "retrieval_file_pattern",
    "retrieval_interval",
    "retrieval_images",
    "projector",
    "keep_checkpoints",
)
# What --debug stands for.
_DEBUG = {
    "batch_size": 4,
    "max_iters": 100,
    "report_interval": 10,
    "eval_batches": 1,
    "save_interval": 1,
}


def define_training_flags() -> None:
    """Defines the flags that `training_config` reads."""
    flags.DEFINE_string("logdir", None, "Folder of checkpoints, weights, logs.")
    flags.mark_flag_as_required("logdir")
    _define_data()
    define_network_flags()
    _define_start()
    define_loss_flags()
    define_optimizer_flags()
    _define_length()
    _define_devices()
    _define_intervals()


def _define_data() -> None:
    flags.DEFINE_string(
        "train_file_pattern", None, "Glob of the training TFRecords."
    )
    flags.mark_flag_as_required("train_file_pattern")
    flags.DEFINE_string(
        "validation_file_pattern",
        None,
        "Glob of the validation TFRecords; none: no validation.",
    )
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
        "Same input order in every run with the same seed; off is a bit "
        "faster.",
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
        "cache",
        None,
        "Copies of the record files: memory, or a (local) folder.",
    )
    flags.DEFINE_string(
        "data_service",
        None,
        "grpc://host:port of a tf.data service whose workers decode.",
    )
    flags.DEFINE_integer(
        "decode_threads", 0, "Images decoded at a time; 0: as many as it takes."
    )


def _define_start() -> None:
    flags.DEFINE_string(
        "init_checkpoint",
        None,
        "Pre-trained weights to start from: Keras-Applications (.h5, "
        ".weights.h5), TF-Slim (checkpoint), torchvision (.pth, "
        ".safetensors), the official trainer's, or of "
        "tools/convert_weights.py.",
    )
    flags.DEFINE_enum(
        "init_format", "auto", ("auto", *FORMATS), "Of --init_checkpoint."
    )
    flags.DEFINE_string(
        "init_from",
        None,
        "Logdir of a finished training, or exported model, to start from. "
        "The network is the same where no flag says otherwise; classifiers of "
        "other classes start anew.",
    )


def _define_length() -> None:
    flags.DEFINE_integer("batch_size", 32, "Images a step, over all replicas.")
    flags.DEFINE_integer("max_iters", 500000, "Steps.")
    flags.DEFINE_integer("seed", 0, "Of weights, order and crops.")
    flags.DEFINE_integer(
        "max_bad_steps",
        20,
        "Steps in a row that may be skipped because the loss is not finite.",
    )
    flags.DEFINE_bool(
        "debug",
        False,
        "A short run to try things: 4 images a step, 100 steps, frequent "
        "reports.",
    )


def _define_devices() -> None:
    flags.DEFINE_enum(
        "precision", "float32", sorted(PRECISIONS), "Of the network's layers."
    )
    flags.DEFINE_bool(
        "jit_compile", False, "Compile by XLA; slower on CPUs, measure on GPUs."
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
        "replicas",
        None,
        "Devices of mirrored; default: all GPUs, or the CPU.",
    )


def _define_intervals() -> None:
    flags.DEFINE_integer("report_interval", 100, "Steps between summaries.")
    flags.DEFINE_integer("eval_interval", 1000, "Steps between validations.")
    flags.DEFINE_integer("save_interval", 1000, "Steps between checkpoints.")
    flags.DEFINE_integer("eval_batches", 1000, "Batches a validation, at most.")
    flags.DEFINE_string(
        "retrieval_file_pattern",
        None,
        "Glob of TFRecords of held-out images, whose classes may be others: "
        "each is searched among all. The best network by this mAP is kept in "
        "LOGDIR/best.",
    )
    flags.DEFINE_integer(
        "retrieval_interval", 1000, "Steps between two such searches."
    )
    flags.DEFINE_integer("retrieval_images", 1000, "Images of it, at most.")
    flags.DEFINE_bool(
        "projector",
        True,
        "Whenever such a search finds the best network so far, write its "
        "descriptors, with thumbnails, for TensorBoard's embedding projector.",
    )
    flags.DEFINE_string(
        "profile_steps",
        None,
        "First and last step of a profile for TensorBoard, e.g. 100,120.",
    )
    flags.DEFINE_integer("keep_checkpoints", 10, "Latest checkpoints kept.")


def training_config() -> TrainingConfig:
    """Builds the run's configuration.

    Raises:
        InputError: the number of classes is not known, a flag is out of
            range, or pre-trained weights cannot be read.
    """
    values = {name: getattr(FLAGS, name) for name in _SAME}
    return TrainingConfig(
        model=network_config(
            FLAGS.train_file_pattern,
            FLAGS.init_checkpoint,
            FLAGS.init_format,
            FLAGS.init_from,
        ),
        loss=loss_config(),
        optimizer=optimizer_config(),
        augment=FLAGS.use_augmentation,
        profile_steps=parse_steps(FLAGS.profile_steps),
        **values | (_DEBUG if FLAGS.debug else {}),
    )
