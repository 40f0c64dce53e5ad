"""TF-Slim's own ResNets, saved as TF1 checkpoints, against ours.

tf-slim 1.1.0 builds them on a current TensorFlow once its batch normalisation
finds the legacy layers where they are today.
"""

import importlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.layers import normalization as tf_normalization
from weights_files import blocks, network_for, pictures, relative_error

from delg_tf.weights.load import describe, load_pretrained

pytest.importorskip(
    "tf_slim",
    reason="tf-slim is not installed (pip install tf-slim==1.1.0)",
)
# Behind the check: they import tf_slim.
from tf_slim.nets import resnet_v1
from tf_slim.ops.arg_scope import arg_scope

SIZES = [(96, 128), (97, 65), (111, 130)]
BUILDERS = {
    "resnet50": resnet_v1.resnet_v1_50,
    "resnet101": resnet_v1.resnet_v1_101,
}
# R, G, B; `vgg_preprocessing` of TF-Slim.
MEANS = np.float32([123.68, 116.78, 103.94])


@pytest.fixture(autouse=True)
def legacy_layers(monkeypatch):
    layers = importlib.import_module(
        "tf_keras.src.legacy_tf_layers.normalization"
    )
    monkeypatch.setattr(tf_normalization, "normalization", layers)


def _randomise(session):
    """Gives every normalisation its own statistics, gain and offset."""
    random = np.random.default_rng(0)
    for variable in tf.compat.v1.global_variables():
        shape = variable.shape.as_list()
        if variable.op.name.endswith(("gamma", "moving_variance")):
            variable.load(random.uniform(0.5, 1.5, shape), session)
        if variable.op.name.endswith(("beta", "moving_mean")):
            variable.load(random.normal(0, 0.3, shape), session)


def _slim(backbone, folder, save_options, output_strides=(None, 16)):
    """Saves a random network; returns the path and its block3, block4.

    Both by the output stride and the size of the images.
    """
    build, outputs = BUILDERS[backbone], {}
    scope = build.__name__
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(0)
        images = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3])
        ends = {}
        for stride in output_strides:
            with arg_scope(resnet_v1.resnet_arg_scope()):
                # With the classifier only once, as in the released files.
                _, ends[stride] = build(
                    images,
                    num_classes=1000 if stride is None else None,
                    is_training=False,
                    global_pool=stride is None,
                    output_stride=stride,
                    reuse=tf.compat.v1.AUTO_REUSE,
                )
        tf.compat.v1.train.create_global_step()
        session.run(tf.compat.v1.global_variables_initializer())
        _randomise(session)
        for stride, size in ((o, s) for o in output_strides for s in SIZES):
            tensors = [ends[stride][f"{scope}/block{i}"] for i in (3, 4)]
            feed = np.float32(pictures(*size)) - MEANS
            outputs[stride, size] = session.run(tensors, {images: feed})
        path = tf.compat.v1.train.Saver(**save_options).save(
            session,
            str(folder / f"{scope}.ckpt"),
            write_meta_graph=False,
            write_state=False,
        )
    return path, outputs


def _check(backbone, folder, **save_options):
    path, outputs = _slim(backbone, folder, save_options)
    source = describe(path)
    assert source.format == "tf_slim"
    assert source.config_fields() == {
        "backbone": backbone,
        "input_normalisation": "tf_slim",
        "stride_position": "last_unit",
        "stem": "tf_slim",
    }
    for local_stride in (32, 16):
        network = network_for(source, local_stride=local_stride)
        report = load_pretrained(network, path)
        scope = BUILDERS[backbone].__name__
        assert set(report.left_out) == {
            *("global_step", f"{scope}/logits/weights"),
            f"{scope}/logits/biases",
        }
        # TF-Slim's conv4 keeps a stride of 16 if it is asked for it; its
        # conv5 then sees holes instead of a stride, which ours does not.
        output_stride = None if local_stride == 32 else 16
        for size in SIZES:
            block3, block4 = blocks(network, pictures(*size))
            expected = outputs[output_stride, size][0]
            assert relative_error(block3, expected) < 1e-5
            assert relative_error(block4, outputs[None, size][1]) < 1e-5


def test_resnet50(tmp_path):
    _check("resnet50", tmp_path)


@pytest.mark.slow
def test_resnet101(tmp_path):
    _check("resnet101", tmp_path)


@pytest.mark.slow
def test_checkpoint_of_the_oldest_format(tmp_path):
    # The released ones are such single files.
    _check("resnet50", tmp_path, write_version=tf.compat.v1.train.SaverDef.V1)
