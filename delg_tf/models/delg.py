"""The DELG network: backbone, global head, local head."""

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.attention import Attention, attention_pool
from delg_tf.models.autoencoder import Autoencoder
from delg_tf.models.class_sampler import ClassSampler
from delg_tf.models.config import DelgConfig
from delg_tf.models.cosine_head import CosineHead
from delg_tf.models.linear_head import LinearHead
from delg_tf.models.pooling import make_pooling
from delg_tf.models.projection import Projection
from delg_tf.models.resnet import build_conv5, build_trunk


class Delg(keras.Model):
    """Deep local and global features from one backbone.

    The parts are public, so that inference computes only what it needs:
    `trunk` (images to conv4), `conv5`, `pooling` and `whitening` (the global
    descriptor), `attention` and `local_reduction` (the local features; None
    where block3 is not reduced), `global_head`, `local_head` and
    `class_sampler` (classification, training only).

    Args:
        config: the network.

    Example:
        model = Delg(DelgConfig(backbone="resnet_small", num_classes=10))
        outputs = model(tf.zeros([1, 128, 128, 3]))

    Reference: DELG paper, section 3.
    """

    def __init__(self, config: DelgConfig):
        super().__init__(name="delg")
        self.config = config
        self.trunk = build_trunk(config)
        self.conv5 = build_conv5(config)
        self.pooling = make_pooling(config)
        self.whitening = keras.layers.Dense(
            config.embedding_dim, name="whitening", dtype="float32"
        )
        self.attention = Attention(
            config.attention_dim,
            config.bn_momentum,
            config.bn_epsilon,
            config.synchronized_bn,
            name="attention",
        )
        self.local_reduction = _make_reduction(config)
        self.global_head = _make_global_head(config)
        self.local_head = LinearHead(config.num_classes, name="local_head")
        self.class_sampler = None
        if config.partial_fc < 1:
            self.class_sampler = ClassSampler(
                config.num_classes, config.partial_fc, name="class_sampler"
            )

    def global_descriptor(
        self, conv5_input: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the global descriptor from the trunk's `conv5_input`.

        Returns:
            The descriptor `[batch, embedding_dim]`, float32, **not**
            L2-normalised (as the official SavedModels give it), and block4.
        """
        block4 = self.conv5(conv5_input, training=training)
        return self.whitening(self.pooling(block4)), block4

    def local_features(
        self, block3: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Computes scores and descriptors from block3.

        Returns:
            `scores` `[batch, h, w, 1]`; `descriptors`
            `[batch, h, w, autoencoder_dim]` (block3 itself without a
            reduction), not normalised; `features` `[batch, h, w, c]`, what
            the attention pools: the autoencoder's reconstruction, or the
            descriptors.
        """
        scores = self.attention(block3, training=training)
        descriptors = features = block3
        if self.local_reduction is not None:
            descriptors, features = self.local_reduction(block3)
        return {
            "scores": scores,
            "descriptors": descriptors,
            "features": features,
        }

    def call(
        self,
        inputs: tf.Tensor,
        training: bool = False,
        labels: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Computes everything that the losses need.

        Args:
            inputs: float `[batch, height, width, 3]`, RGB, (x - 128) / 128.
            training: whether batch normalisation uses the batch.
            labels: int `[batch]`; needed only where `config.partial_fc` is
                below 1: then, in training, the heads classify among a sample
                of the classes that has the labels. Without labels, and
                outside training, they classify among all.

        Returns:
            Dict: `block1` to `block4`; `global_descriptor` (not
            normalised); `scores`, `descriptors`, `features` of
            `local_features`; with an autoencoder `block3_target`, what its
            reconstruction, `features`, is compared with; `global_logits` and
            `local_logits` `[batch, num_classes]`, both without margin; with
            an ArcFace head `cosines` `[batch, num_classes]` and `scale`, a
            scalar, whose product `global_logits` is. All floats, logits in
            float32. If classes are sampled, logits and cosines have their
            columns only, and `targets` and `log_weights` of `ClassSample`
            are there, too.
        """
        blocks = dict(self.trunk(inputs, training=training))
        descriptor, block4 = self.global_descriptor(
            blocks.pop("conv5_input"), training
        )
        block3 = blocks["block3"]
        if self.config.stop_gradient:
            # The backbone learns from the global loss alone (paper, 3.4).
            block3 = tf.stop_gradient(block3)
        outputs = {
            **blocks,
            "block4": block4,
            "global_descriptor": descriptor,
            **self.local_features(block3, training),
        }
        if self.config.local_reduction == "autoencoder":
            outputs["block3_target"] = block3
        return outputs | self._classify(outputs, training, labels)

    def _classify(
        self,
        outputs: dict[str, tf.Tensor],
        training: bool,
        labels: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """Logits of both heads and what the losses must know of them."""
        classes, result = None, {}
        if self.class_sampler is not None and training and labels is not None:
            sample = self.class_sampler(labels)
            classes = sample.classes
            result["targets"] = sample.targets
            result["log_weights"] = sample.log_weights
        pooled = attention_pool(outputs["features"], outputs["scores"])
        result["local_logits"] = self.local_head(pooled, classes)
        logits = self.global_head(outputs["global_descriptor"], classes)
        if self.config.global_head == "arcface":
            result["cosines"] = logits
            result["scale"] = tf.convert_to_tensor(self.global_head.scale)
            logits = result["scale"] * logits
        result["global_logits"] = logits
        return result

    def build_variables(self) -> None:
        """Creates all variables by running a small image."""
        self(tf.zeros([1, 64, 64, 3]))


def _make_reduction(config: DelgConfig) -> keras.layers.Layer | None:
    kinds = {"autoencoder": Autoencoder, "fc": Projection}
    if config.local_reduction == "none":
        return None
    return kinds[config.local_reduction](
        config.autoencoder_dim, name="local_reduction"
    )


def _make_global_head(config: DelgConfig) -> keras.layers.Layer:
    if config.global_head == "softmax":
        return LinearHead(config.num_classes, name="global_head")
    return CosineHead(
        config.num_classes,
        config.scale_init,
        config.learn_scale,
        config.sub_centres,
        name="global_head",
    )
