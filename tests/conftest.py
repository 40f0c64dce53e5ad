"""One configuration of TensorFlow for all tests of a run."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The tests run on the checkout, whatever is installed.
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf  # noqa: E402

# Two replicas need two devices; TensorFlow takes this only before its first
# operation.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
