"""tensorflow-addons, where it is installed, to compare with."""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import sys
import warnings

import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.util import lazy_loader


def tensorflow_addons():
    """Imports tensorflow-addons on top of tf_keras; skips where it is absent.

    It asks for `keras` of the second line, whose successor is tf_keras: while
    it is imported, that stands under the old name. `tf.keras` stays tf_keras
    afterwards, as tensorflow-addons goes on using it; nothing else does.
    """
    if importlib.util.find_spec("tensorflow_addons") is None:
        pytest.skip(
            "tensorflow-addons is not installed (extra `reference`; Python "
            "3.10 and 3.11 only)"
        )
    if "tensorflow_addons" in sys.modules:
        return sys.modules["tensorflow_addons"]
    with _keras_2(), warnings.catch_warnings():
        # Of its end of life, and of the version of TensorFlow.
        warnings.simplefilter("ignore")
        return importlib.import_module("tensorflow_addons")


@contextlib.contextmanager
def _keras_2():
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # Submodules of `tensorflow.keras` are looked for beside this one.
    public = importlib.import_module("tf_keras.api._v2.keras")
    importlib.import_module("tf_keras.src.engine.keras_tensor")
    tf.__path__.insert(0, str(pathlib.Path(public.__file__).parents[1]))
    if not hasattr(tf.keras, "_initialize"):
        # Another library has had it loaded: begin again.
        tf.keras = lazy_loader.KerasLazyLoader(vars(tf))
    tf.keras._initialize()
    keras_3 = _take_out("keras")
    for name in list(sys.modules):
        if name.split(".")[0] == tf_keras.__name__:
            sys.modules[name.removeprefix("tf_")] = sys.modules[name]
    try:
        yield
    finally:
        _take_out("keras")
        sys.modules.update(keras_3)
        del tf.__path__[0]


def _take_out(package):
    """Removes a package's modules from those imported; returns them."""
    names = [name for name in sys.modules if name.split(".")[0] == package]
    return {name: sys.modules.pop(name) for name in names}
