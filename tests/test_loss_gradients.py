"""Which parts of the network each loss trains."""

import numpy as np
import pytest
import tensorflow as tf
from small_models import small_config

from delg_tf.models.config import LOCAL_REDUCTIONS
from delg_tf.models.delg import Delg
from delg_tf.training.losses.total import LossConfig, delg_losses


def _gradient_sizes(config, losses, labels=(0, 2)):
    """Largest absolute gradient of the sum of `losses`, by variable group."""
    model = Delg(config)
    model.build_variables()
    images = tf.random.stateless_uniform((2, 64, 64, 3), [0, 1], -1, 1)
    labels = tf.constant(labels)
    loss_config = LossConfig(label_smoothing=0.1, contrastive_weight=1.0)
    with tf.GradientTape() as tape:
        outputs = model(images, training=True, labels=labels)
        values = delg_losses(outputs, labels, loss_config, 2, training=True)
        loss = tf.add_n([values[key] for key in losses])
    parts = {
        "trunk": model.trunk,
        "conv5": model.conv5,
        "whitening": model.whitening,
        "global_head": model.global_head,
        "attention": model.attention,
        "local_reduction": model.local_reduction,
        "local_head": model.local_head,
    }
    variables = {
        key: part.trainable_variables
        for key, part in parts.items()
        if part is not None
    }
    gradients = tape.gradient(loss, variables)
    sizes = {
        key: [0.0 if g is None else np.abs(_dense(g)).max() for g in group]
        for key, group in gradients.items()
    }
    assert all(np.isfinite(group).all() for group in sizes.values())
    return sizes


def _dense(gradient):
    return tf.convert_to_tensor(gradient).numpy()


@pytest.mark.parametrize("reduction", LOCAL_REDUCTIONS)
@pytest.mark.parametrize("local_stride", [16, 32])
@pytest.mark.parametrize(
    "position", ["last_unit", "first_unit_1x1", "first_unit_3x3"]
)
def test_local_losses_leave_the_backbone_alone(
    position, local_stride, reduction
):
    config = small_config(
        stride_position=position,
        local_stride=local_stride,
        local_reduction=reduction,
    )
    sizes = _gradient_sizes(config, ["attention", "reconstruction"])
    for part in ("trunk", "conv5", "whitening", "global_head"):
        assert not any(sizes[part]), part
    assert all(sizes["local_head"])
    assert any(sizes["attention"])
    if reduction != "none":
        assert all(sizes["local_reduction"])


def test_local_losses_reach_the_backbone_when_asked_to():
    config = small_config(stop_gradient=False)
    for loss in ("attention", "reconstruction"):
        sizes = _gradient_sizes(config, [loss])
        # Every convolution of the trunk, and nothing behind it.
        assert np.mean(np.array(sizes["trunk"]) > 0) > 0.9
        assert not any(sizes["conv5"])


def test_attention_loss_trains_the_autoencoder_too():
    sizes = _gradient_sizes(small_config(), ["attention"])
    assert all(sizes["local_reduction"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sub_centres": 3, "partial_fc": 0.5},
        {"global_head": "softmax", "pooling": "spoc"},
        {"pooling": "mac"},
    ],
    ids=["arcface", "sub-centres", "softmax", "mac"],
)
def test_global_loss_trains_the_backbone_only(changes):
    sizes = _gradient_sizes(small_config(**changes), ["global"])
    for part in ("trunk", "conv5"):
        assert np.mean(np.array(sizes[part]) > 0) > 0.9
    assert all(sizes["global_head"])
    for part in ("attention", "local_reduction", "local_head"):
        assert not any(sizes[part]), part


def test_contrastive_loss_trains_no_classifier():
    config = small_config()
    sizes = _gradient_sizes(config, ["contrastive"], labels=(2, 2))
    for part in ("trunk", "conv5"):
        assert np.mean(np.array(sizes[part]) > 0) > 0.9
    for part in ("global_head", "attention", "local_head"):
        assert not any(sizes[part]), part
