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

# Files that take longest, first: with two at a time, none of them is left for
# the end, when only one of the two has work. (`make test` keeps this order by
# --no-loadscope-reorder; by itself pytest-xdist begins with the most tests.)
_LONGEST = (
    "test_runs",
    "test_demo",
    "test_training",
    "test_levels",
    "test_extraction_run",
)


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
