"""The DELG network: backbone, global head, local head."""

import tensorflow as tf
import tf_keras as keras

from delg_tf.models.attention import Attention, attention_pool
from delg_tf.models.autoencoder import Autoencoder
from delg_tf.models.config import DelgConfig
from delg_tf.models.cosine_head import CosineHead
from delg_tf.models.gem import GeM
from delg_tf.models.resnet import build_conv5, build_trunk


class Delg(keras.Model):
    """Deep local and global features from one backbone.

    The parts are public, so that inference computes only what it needs:
    `trunk` (images to conv4), `conv5`, `gem` and `whitening` (the global
    descriptor), `attention` and `autoencoder` (the local features),
    `global_head` and `local_head` (classification, training only).

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
        self.gem = GeM(config.gem_power, config.learn_gem_power, name="gem")
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
        self.autoencoder = (
            Autoencoder(config.autoencoder_dim, name="autoencoder")
            if config.use_autoencoder
            else None
        )
        self.global_head = CosineHead(
            config.num_classes,
            config.scale_init,
            config.learn_scale,
            name="global_head",
        )
        self.local_head = keras.layers.Dense(
            config.num_classes, name="local_head", dtype="float32"
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
        return self.whitening(self.gem(block4)), block4

    def local_features(
        self, block3: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Computes scores and descriptors from block3.

        Returns:
            `scores` `[batch, h, w, 1]`; `descriptors`
            `[batch, h, w, autoencoder_dim]` (block3 itself without an
            autoencoder), not normalised; `features` `[batch, h, w, c]`, what
            the attention pools: the reconstruction, or block3.
        """
        scores = self.attention(block3, training=training)
        descriptors = features = block3
        if self.autoencoder is not None:
            descriptors, features = self.autoencoder(block3)
        return {
            "scores": scores,
            "descriptors": descriptors,
            "features": features,
        }

    def call(
        self, inputs: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Computes everything that the losses need.

        Args:
            inputs: float `[batch, height, width, 3]`, RGB, (x - 128) / 128.
            training: whether batch normalisation uses the batch.

        Returns:
            Dict: `block1` to `block4`; `global_descriptor` (not
            normalised); `cosines` `[batch, num_classes]`; `scores`,
            `descriptors`, `features` of `local_features`; `block3_target`,
            what the reconstruction is compared with; `local_logits`
            `[batch, num_classes]`.
        """
        blocks = dict(self.trunk(inputs, training=training))
        descriptor, block4 = self.global_descriptor(
            blocks.pop("conv5_input"), training
        )
        block3 = blocks["block3"]
        if self.config.stop_gradient:
            # The backbone learns from the global loss alone (paper, 3.4).
            block3 = tf.stop_gradient(block3)
        local = self.local_features(block3, training)
        pooled = attention_pool(local["features"], local["scores"])
        return {
            **blocks,
            "block4": block4,
            "global_descriptor": descriptor,
            "cosines": self.global_head(descriptor),
            **local,
            "block3_target": block3,
            "local_logits": self.local_head(pooled),
        }

    def build_variables(self) -> None:
        """Creates all variables by running a small image."""
        self(tf.zeros([1, 64, 64, 3]))
