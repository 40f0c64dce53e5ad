"""ResNet v1 backbones, cut between conv4 and conv5.

Naming follows the official code: block1..block4 are conv2_x..conv5_x of the
ResNet paper. Convolutions have no biases: a batch normalisation follows each.

Where each stage's stride of 2 sits (`stride_position`):

* `last_unit`: 3x3 convolution and shortcut of the stage's last unit
  (TF-Slim, the paper). block1..block3 end at strides 8, 16, 32; block4 keeps
  32.
* `first_unit_1x1`: first 1x1 convolution and shortcut of stages 2 to 4
  (Keras-Applications, the official code).
* `first_unit_3x3`: 3x3 convolution and shortcut of stages 2 to 4
  (torchvision, also called v1.5).

Whatever the position, block3 is recorded at `local_stride`: with 32 it is
exactly `[::2, ::2]` of what it is with 16, and block4 is the same for both.

Paddings of the first two layers (`stem`):

* `tf_slim`: 3 pixels on each side, then "SAME" pooling;
* `symmetric`: 3 pixels, then 1 pixel on each side (Keras-Applications,
  torchvision);
* `official`: "SAME" convolution, pooling without padding.
"""

import dataclasses

import tensorflow as tf
import tf_keras as keras

from delg_tf.common.errors import InputError
from delg_tf.models.config import DelgConfig
from delg_tf.models.input_normalisation import InputNormalisation


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Size of a ResNet: units a stage, and bottleneck width of stage 1."""

    depths: tuple[int, int, int, int]
    width: int = 64


ARCHITECTURES = {
    "resnet50": Architecture((3, 4, 6, 3)),
    "resnet101": Architecture((3, 4, 23, 3)),
    "resnet152": Architecture((3, 8, 36, 3)),
    # The same family at 1/100 of R50's work, for the demonstration and tests.
    "resnet_small": Architecture((1, 1, 2, 1), width=16),
}


class _Builder:
    """Names and options that all layers of one network share."""

    def __init__(self, config: DelgConfig):
        if config.backbone not in ARCHITECTURES:
            raise InputError(
                f"`backbone` must be one of {sorted(ARCHITECTURES)}. "
                f"Received: {config.backbone!r}"
            )
        self.config = config

    def conv_bn(
        self,
        x: tf.Tensor,
        filters: int,
        kernel: int,
        stride: int,
        name: str,
        relu: bool = True,
        same: bool = False,
    ) -> tf.Tensor:
        """Convolution, batch normalisation, optional ReLU.

        A strided kernel is padded by the same amount on both sides, as
        TF-Slim and torchvision do, so that striding equals subsampling;
        `same` asks for TensorFlow's own padding instead.
        """
        if kernel > 1 and stride > 1 and not same:
            x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
            padding = "valid"
        else:
            padding = "same"
        x = keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            padding,
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)
        x = keras.layers.BatchNormalization(
            momentum=self.config.bn_momentum,
            epsilon=self.config.bn_epsilon,
            synchronized=self.config.synchronized_bn,
            name=f"{name}_bn",
        )(x)
        return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x

    def subsample(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Keeps every second row and column."""
        return keras.layers.MaxPooling2D(1, 2, name=name)(x)

    def stem(self, x: tf.Tensor, width: int) -> tf.Tensor:
        """7x7 convolution and 3x3 pooling, each with stride 2."""
        kind = self.config.stem_kind
        x = self.conv_bn(x, width, 7, 2, "conv1", same=kind == "official")
        padding = "same" if kind == "tf_slim" else "valid"
        if kind == "symmetric":
            x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
        return keras.layers.MaxPooling2D(3, 2, padding, name="pool1")(x)

    def unit(
        self, x: tf.Tensor, width: int, stride: int, name: str, project: bool
    ) -> tf.Tensor:
        """Bottleneck: 1x1, 3x3, 1x1 (4 x width) and the shortcut."""
        on_1x1 = self.config.stride_position == "first_unit_1x1"
        if project:
            shortcut = self.conv_bn(
                x, 4 * width, 1, stride, f"{name}_shortcut", relu=False
            )
        elif stride > 1:
            shortcut = self.subsample(x, f"{name}_shortcut")
        else:
            shortcut = x
        strides = (stride, 1) if on_1x1 else (1, stride)
        y = self.conv_bn(x, width, 1, strides[0], f"{name}_1")
        y = self.conv_bn(y, width, 3, strides[1], f"{name}_2")
        y = self.conv_bn(y, 4 * width, 1, 1, f"{name}_3", relu=False)
        y = keras.layers.Add(name=f"{name}_add")([shortcut, y])
        return keras.layers.ReLU(name=f"{name}_out")(y)

    def stage(
        self, x: tf.Tensor, width: int, depth: int, stride: int, name: str
    ) -> tf.Tensor:
        """A stage of `depth` units, one of which has the stride."""
        last = self.config.stride_position == "last_unit"
        strided = depth if last else 1
        for unit in range(1, depth + 1):
            x = self.unit(
                x,
                width,
                stride if unit == strided else 1,
                f"{name}_unit{unit}",
                project=unit == 1,
            )
        return x


def build_trunk(config: DelgConfig) -> keras.Model:
    """Builds the stem and stages 1 to 3 (conv2 to conv4).

    Args:
        config: the network; `backbone`, `stride_position`, `stem`,
            `local_stride` and the batch normalisations are used.

    Returns:
        A functional model: normalised images
        `[batch, height, width, 3]` -> dict with `block1`, `block2`,
        `block3` (at `config.local_stride`) and `conv5_input`, what
        `build_conv5`'s model takes.

    Raises:
        InputError: the backbone is unknown.
    """
    builder = _Builder(config)
    size = ARCHITECTURES[config.backbone]
    images = keras.Input((None, None, 3), name="images")
    x = images
    if config.input_normalisation != "delg":
        x = InputNormalisation(
            config.input_normalisation, name="input_normalisation"
        )(x)
    x = builder.stem(x, size.width)
    outputs = {}
    for stage, stride in enumerate(_trunk_strides(config)):
        x = builder.stage(
            x,
            size.width * 2**stage,
            size.depths[stage],
            stride,
            f"block{stage + 1}",
        )
        outputs[f"block{stage + 1}"] = x
    outputs["conv5_input"] = x
    if not _strided_inside_block3(config):
        subsampled = builder.subsample(x, "block3_subsample")
        if config.stride_position != "first_unit_3x3":
            outputs["conv5_input"] = subsampled
        if config.local_stride == 32:
            outputs["block3"] = subsampled
    return keras.Model(images, outputs, name="trunk")


def build_conv5(config: DelgConfig) -> keras.Model:
    """Builds stage 4 (conv5).

    Args:
        config: the network, the same as for `build_trunk`.

    Returns:
        A functional model: `conv5_input` of the trunk
        -> `block4` `[batch, height / 32, width / 32, 32 * width]`.
    """
    builder = _Builder(config)
    size = ARCHITECTURES[config.backbone]
    inputs = keras.Input((None, None, 16 * size.width), name="conv5_input")
    block4 = builder.stage(
        inputs,
        size.width * 8,
        size.depths[3],
        2 if config.stride_position == "first_unit_3x3" else 1,
        "block4",
    )
    return keras.Model(inputs, block4, name="conv5")


def _trunk_strides(config: DelgConfig) -> tuple[int, int, int]:
    """Strides of stages 1 to 3."""
    if config.stride_position != "last_unit":
        return (1, 2, 2)
    return (2, 2, 2) if _strided_inside_block3(config) else (2, 2, 1)


def _strided_inside_block3(config: DelgConfig) -> bool:
    """Whether the conv5 stride lies in conv4's last unit, as in TF-Slim.

    With a local grid of 16 it is applied to that unit's output instead, which
    gives conv5 the same input.
    """
    return config.stride_position == "last_unit" and config.local_stride == 32
