"""DELF and DELG with the attributes of the official classes, but small.

The official checkpoints are graphs of objects: what counts for their keys is
which attribute holds which layer (`resnet50.py`, `delf_model.py` and
`delg_model.py` of the official code). The arithmetic is theirs, too.
"""

import tensorflow as tf
import tf_keras as keras

layers = keras.layers


class Block(keras.Model):
    """Bottleneck with the stride on the first convolution."""

    def __init__(self, width, strides=1, shortcut=False):
        super().__init__()
        self.conv2a = layers.Conv2D(width, 1, strides)
        self.bn2a = layers.BatchNormalization()
        self.conv2b = layers.Conv2D(width, 3, padding="same")
        self.bn2b = layers.BatchNormalization()
        self.conv2c = layers.Conv2D(4 * width, 1)
        self.bn2c = layers.BatchNormalization()
        self.projects = shortcut
        if shortcut:
            self.conv_shortcut = layers.Conv2D(4 * width, 1, strides)
            self.bn_shortcut = layers.BatchNormalization()

    def call(self, x):
        y = tf.nn.relu(self.bn2a(self.conv2a(x), training=False))
        y = tf.nn.relu(self.bn2b(self.conv2b(y), training=False))
        y = self.bn2c(self.conv2c(y), training=False)
        if self.projects:
            x = self.bn_shortcut(self.conv_shortcut(x), training=False)
        return tf.nn.relu(x + y)


class Backbone(keras.Model):
    """A ResNet of 1, 1, 2 and 1 units."""

    def __init__(self, embedding_dim):
        super().__init__()
        self.conv1 = layers.Conv2D(16, 7, 2, padding="same")
        self.bn_conv1 = layers.BatchNormalization()
        self.max_pool = layers.MaxPooling2D(3, 2)
        self.l2a = Block(16, shortcut=True)
        self.l3a = Block(32, 2, shortcut=True)
        self.l4a = Block(64, 2, shortcut=True)
        self.l4b = Block(64)
        self.l5a = Block(128, 2, shortcut=True)
        self.avg_pool = layers.AveragePooling2D(7, 7)
        self.embedding_layer = None
        if embedding_dim:
            self.embedding_layer = layers.Dense(embedding_dim)

    def call(self, x):
        x = tf.nn.relu(self.bn_conv1(self.conv1(x), training=False))
        block3 = self.l4b(self.l4a(self.l3a(self.l2a(self.max_pool(x)))))
        block4 = self.l5a(block3)
        if self.embedding_layer is None:
            return block3, block4, tf.reduce_mean(block4, [1, 2])
        pooled = tf.reduce_mean(tf.maximum(block4, 1e-6) ** 3, [1, 2])
        return block3, block4, self.embedding_layer(pooled ** (1 / 3))


class Attention(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv1 = layers.Conv2D(8, 1, padding="same")
        self.bn_conv1 = layers.BatchNormalization()
        self.conv2 = layers.Conv2D(1, 1, padding="same")
        self.activation_layer = layers.Activation("softplus")

    def call(self, x):
        x = tf.nn.relu(self.bn_conv1(self.conv1(x), training=False))
        return self.activation_layer(self.conv2(x))


class Autoencoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv1 = layers.Conv2D(4, 1, padding="same")
        self.conv2 = layers.Conv2D(256, 1, padding="same", activation="relu")

    def call(self, x):
        reduced = self.conv1(x)
        return reduced, self.conv2(reduced)


class Delf(keras.Model):
    def __init__(self, embedding_dim=None, use_autoencoder=True, classes=5):
        super().__init__()
        self.backbone = Backbone(embedding_dim)
        self.attention = Attention()
        self.autoencoder = Autoencoder() if use_autoencoder else None
        self.num_classes = classes
        self.attn_classification = layers.Dense(classes)
        if embedding_dim:
            self.desc_classification = self._cosine_logits
            self.cosine_weights = tf.Variable(
                tf.random.normal([embedding_dim, classes]),
                name="cosine_weights",
            )
            self.scale_factor = tf.Variable(4.0, trainable=False)
        else:
            self.desc_classification = layers.Dense(classes)

    def _cosine_logits(self, x):
        centres = tf.nn.l2_normalize(self.cosine_weights, 0)
        return self.scale_factor * (tf.nn.l2_normalize(x, 1) @ centres)

    def call(self, images):
        block3, block4, descriptor = self.backbone(images)
        scores = self.attention(block3)
        reduced = expanded = block3
        if self.autoencoder is not None:
            reduced, expanded = self.autoencoder(block3)
        unit = tf.nn.l2_normalize(expanded, -1)
        pooled = tf.reduce_mean(unit * scores, [1, 2])
        return {
            "block3": block3,
            "block4": block4,
            "global_descriptor": descriptor,
            "scores": scores,
            "descriptors": reduced,
            "features": expanded,
            "global_logits": self.desc_classification(descriptor),
            "local_logits": self.attn_classification(pooled),
        }


def official_network(**options):
    """A network with random weights and statistics."""
    keras.utils.set_random_seed(3)
    model = Delf(**options)
    model(tf.zeros([1, 64, 64, 3]))
    random = tf.random.Generator.from_seed(3)
    for variable in model.variables:
        if variable.name.endswith(("gamma:0", "variance:0")):
            variable.assign(random.uniform(variable.shape, 0.5, 1.5))
        if variable.name.endswith(("beta:0", "mean:0", "bias:0")):
            variable.assign(random.uniform(variable.shape, -0.3, 0.3))
    return model
