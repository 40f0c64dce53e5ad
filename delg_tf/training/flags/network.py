"""Flags of the network."""

import pathlib

from absl import flags, logging

from delg_tf.common.errors import InputError
from delg_tf.data.dataset_info import FILE_NAME, load_dataset_info
from delg_tf.models.config import (
    GLOBAL_HEADS,
    INPUT_NORMALISATIONS,
    LOCAL_REDUCTIONS,
    POOLINGS,
    STEMS,
    STRIDE_POSITIONS,
    DelgConfig,
)
from delg_tf.models.resnet import ARCHITECTURES
from delg_tf.training.initialisation import source_config
from delg_tf.weights.load import describe

FLAGS = flags.FLAGS
# Fields that weights of ours bring with them, and the flags that set them.
# The classifiers are not among them: a new task may want others.
_OF_WEIGHTS = {
    "backbone": ("backbone",),
    "stride_position": ("stride_position",),
    "stem": ("stem",),
    "input_normalisation": ("input_normalisation",),
    "bn_epsilon": ("bn_epsilon",),
    "pooling": ("global_pooling",),
    "gem_power": ("delg_gem_power",),
    "learn_gem_power": ("learn_gem_power",),
    "embedding_dim": ("delg_embedding_layer_dim",),
    "attention_dim": (),
    "local_reduction": ("local_reduction", "use_autoencoder"),
    "autoencoder_dim": ("autoencoder_dimensions",),
}
_CLASSES = {"gld_v1": 14951, "gld_v2": 203094, "gld_v2_clean": 81313}


def define_network_flags() -> None:
    """Defines the flags that `network_config` reads."""
    _define_classes()
    _define_backbone()
    _define_global()
    _define_local()


def _define_classes() -> None:
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
        "Number of classes; default: from dataset_info.json beside the "
        "records.",
        lower_bound=2,
    )


def _define_backbone() -> None:
    flags.DEFINE_enum(
        "backbone", "resnet50", sorted(ARCHITECTURES), "The network's trunk."
    )
    flags.DEFINE_enum(
        "stride_position",
        "last_unit",
        STRIDE_POSITIONS,
        "Where stages have their stride: last_unit (TF-Slim, the paper), "
        "first_unit_1x1 (Keras-Applications, the official code), "
        "first_unit_3x3 (torchvision). Not given, it is that of "
        "--init_checkpoint or --init_from; likewise the next two.",
    )
    flags.DEFINE_enum(
        "stem",
        None,
        STEMS,
        "Paddings of the first layers; default: those of --stride_position.",
    )
    flags.DEFINE_enum(
        "input_normalisation",
        "delg",
        INPUT_NORMALISATIONS,
        "What the first convolution gets: (x - 128) / 128, or as the source "
        "of pre-trained weights has it.",
    )
    flags.DEFINE_float("bn_momentum", 0.99, "Of all batch normalisations.")
    flags.DEFINE_float("bn_epsilon", 1e-3, "Of all batch normalisations.")
    flags.DEFINE_bool(
        "synchronized_bn",
        False,
        "Normalise by the statistics of all replicas together.",
    )


def _define_global() -> None:
    flags.DEFINE_enum(
        "global_pooling", "gem", POOLINGS, "Of block4, for the descriptor."
    )
    flags.DEFINE_float("delg_gem_power", 3.0, "Power of the global pooling.")
    flags.DEFINE_bool("learn_gem_power", False, "Train the power.")
    flags.DEFINE_integer(
        "delg_embedding_layer_dim", 2048, "Length of the global descriptor."
    )
    flags.DEFINE_enum(
        "global_head",
        "arcface",
        GLOBAL_HEADS,
        "Classifier of the global descriptor.",
    )
    flags.DEFINE_integer(
        "sub_centres", 1, "ArcFace centres of a class; the nearest counts."
    )
    flags.DEFINE_float(
        "partial_fc",
        1.0,
        "Share of the classes that each step classifies among, for very many; "
        "the training accuracies then count among these only.",
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
        "Train the softmax scale (the paper); the official code keeps it "
        "fixed.",
    )


def _define_local() -> None:
    flags.DEFINE_bool(
        "block3_strides",
        True,
        "Local features every 32 pixels while training; otherwise every 16.",
    )
    flags.DEFINE_bool("use_autoencoder", True, "Reduce local descriptors.")
    flags.DEFINE_enum(
        "local_reduction",
        None,
        LOCAL_REDUCTIONS,
        "How local descriptors are reduced; default: as --use_autoencoder "
        "says.",
    )
    flags.DEFINE_integer(
        "autoencoder_dimensions", 128, "Length of reduced local descriptors."
    )
    flags.DEFINE_bool(
        "stop_gradient",
        True,
        "Keep the local losses' gradients out of the backbone.",
    )


def network_config(
    train_file_pattern: str,
    init_checkpoint: str | None,
    init_format: str,
    init_from: str | None = None,
) -> DelgConfig:
    """Builds the network's configuration.

    Args:
        train_file_pattern: glob of the training records.
        init_checkpoint: pre-trained weights; fields that belong to them are
            theirs where no flag says otherwise.
        init_format: of them.
        init_from: a network of ours to start from; likewise, for more fields.

    Raises:
        InputError: the number of classes is not known, a flag is out of
            range, or the weights cannot be read.
    """
    reduction = "autoencoder" if FLAGS.use_autoencoder else "none"
    values = {
        "backbone": FLAGS.backbone,
        "stride_position": FLAGS.stride_position,
        "stem": FLAGS.stem,
        "input_normalisation": FLAGS.input_normalisation,
        "bn_epsilon": FLAGS.bn_epsilon,
        "pooling": FLAGS.global_pooling,
        "gem_power": FLAGS.delg_gem_power,
        "learn_gem_power": FLAGS.learn_gem_power,
        "embedding_dim": FLAGS.delg_embedding_layer_dim,
        "local_reduction": FLAGS.local_reduction or reduction,
        "autoencoder_dim": FLAGS.autoencoder_dimensions,
    }
    fields = _fields_of_weights(init_checkpoint, init_format, init_from)
    values |= {
        name: value
        for name, value in fields.items()
        if not any(FLAGS[flag].present for flag in _OF_WEIGHTS[name])
    }
    return DelgConfig(
        **values,
        num_classes=_num_classes(train_file_pattern),
        local_stride=32 if FLAGS.block3_strides else 16,
        global_head=FLAGS.global_head,
        sub_centres=FLAGS.sub_centres,
        partial_fc=FLAGS.partial_fc,
        scale_init=FLAGS.delg_scale_factor_init,
        learn_scale=FLAGS.learn_scale,
        synchronized_bn=FLAGS.synchronized_bn,
        stop_gradient=FLAGS.stop_gradient,
        bn_momentum=FLAGS.bn_momentum,
    )


def _fields_of_weights(
    init_checkpoint: str | None, init_format: str, init_from: str | None
) -> dict[str, object]:
    """What the weights to start from say about their network."""
    if init_checkpoint is not None:
        fields = describe(init_checkpoint, init_format).config_fields()
        return {k: v for k, v in fields.items() if v is not None}
    source = source_config(init_from) if init_from is not None else None
    if source is None:
        return {}
    return {name: getattr(source, name) for name in _OF_WEIGHTS}


def _num_classes(train_file_pattern: str) -> int:
    folder = pathlib.Path(train_file_pattern).parent
    classes = FLAGS.num_classes
    if (folder / FILE_NAME).is_file():
        info = load_dataset_info(folder)
        if classes is not None and classes < info.num_classes:
            raise InputError(
                f"--num_classes is {classes}, but {folder} has records of "
                f"{info.num_classes} classes ({FILE_NAME}). Leave the flag out."
            )
        if classes is not None and classes > info.num_classes:
            logging.warning(
                "--num_classes is %d; %s has records of %d classes. The "
                "others will stay without an image.",
                classes,
                folder,
                info.num_classes,
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
