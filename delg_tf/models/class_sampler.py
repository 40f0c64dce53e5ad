"""Random shares of the classes, for classifiers with very many of them."""

import math
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras


class ClassSample(NamedTuple):
    """Classes of one training step.

    Attributes:
        classes: int32 `[s]`, rising.
        targets: int32 `[batch]`, where each label stands in `classes`.
        log_weights: float32 `[s]`: log of the number of classes that each
            one stands for; 0 for the batch's own classes.
    """

    classes: tf.Tensor
    targets: tf.Tensor
    log_weights: tf.Tensor


@keras.utils.register_keras_serializable(package="delg_tf")
class ClassSampler(keras.layers.Layer):
    """Draws the batch's own classes and random other ones.

    Each replica has the classes of its own examples and draws the others on
    its own: nothing is communicated, and together the replicas see more
    classes. What is drawn depends on the counter `draws`, which starts at a
    random place and is stored in checkpoints: a run that was cut off goes on
    with the same draws.

    Other classes are drawn without replacement, each with the same chance q.
    Adding `log_weights` = -log q to their logits makes the softmax's
    denominator an unbiased estimate of the one over all classes, so losses
    and gradients stay comparable with those of the full softmax. (The paper
    below leaves that out.)

    Shape:
        Input int `[batch]`, labels in [0, num_classes); output a
        `ClassSample` of `share * num_classes` classes, rounded up, or as
        many as the batch has examples, if that is more.

    Args:
        num_classes: int.
        share: float in (0, 1).

    Reference: Partial FC, An et al., CVPR 2022; sampled softmax: Jean et
    al., ACL 2015.
    """

    def __init__(self, num_classes: int, share: float, **kwargs: object):
        if not 0 < share < 1:
            raise ValueError(f"`share` must be in (0, 1). Received: {share}")
        super().__init__(dtype="float32", **kwargs)
        self.num_classes = num_classes
        self.share = share
        # On each replica its own copy, or they would wait for each other.
        self.draws = self.add_weight(
            name=f"{self.name}/draws",
            shape=(),
            dtype=tf.int64,
            initializer=keras.initializers.RandomUniform(0, 2**31 - 1),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, inputs: tf.Tensor) -> ClassSample:
        labels = tf.cast(inputs, tf.int32)
        own = tf.scatter_nd(
            labels[:, tf.newaxis], tf.ones_like(labels), [self.num_classes]
        )
        own = own > 0
        # Highest for the batch's own classes: they are drawn for certain.
        priorities = tf.where(own, 2.0, self._random())
        size = tf.minimum(
            tf.maximum(
                math.ceil(self.share * self.num_classes), tf.size(labels)
            ),
            self.num_classes,
        )
        classes = tf.sort(tf.math.top_k(priorities, size).indices)
        return ClassSample(
            classes,
            tf.searchsorted(classes, labels),
            self._log_weights(tf.gather(own, classes)),
        )

    def _random(self) -> tf.Tensor:
        """Uniform in [0, 1), one a class; others at each call and replica."""
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        seed = [self.draws.read_value(), tf.cast(replica, tf.int64)]
        values = tf.random.stateless_uniform([self.num_classes], seed)
        self.draws.assign_add(1)
        return values

    def _log_weights(self, own: tf.Tensor) -> tf.Tensor:
        """From which of the drawn classes are the batch's own."""
        number = tf.reduce_sum(tf.cast(own, tf.float32))
        drawn = tf.cast(tf.size(own), tf.float32) - number
        return tf.where(
            own, 0.0, tf.math.log((self.num_classes - number) / drawn)
        )

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        config = super().get_config()
        config.pop("dtype")
        return config | {"num_classes": self.num_classes, "share": self.share}
