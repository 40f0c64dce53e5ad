"""Arithmetic and time of extraction."""

import json
import pathlib
import xml.etree.ElementTree as ET

import pytest
import tensorflow as tf
from small_models import small_model
from tensorflow.python.profiler import model_analyzer, option_builder
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.latency.cases import CASES, GLOBAL, JOINT_7, SEPARATE
from delg_tf.latency.flops import pyramid_flops
from delg_tf.latency.measure import LatencyOptions

ROOT = pathlib.Path(__file__).parent.parent


def profiled(function, *shape):
    """Convolutions' operations, counted by TensorFlow's profiler."""
    graph = (
        tf.function(function)
        .get_concrete_function(tf.TensorSpec([1, *shape], tf.float32))
        .graph
    )
    options = option_builder.ProfileOptionBuilder(
        option_builder.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    options = options.with_accounted_types(["Conv2D"]).build()
    return model_analyzer.profile(graph, options=options).total_float_ops


@pytest.mark.parametrize(
    "position", ["last_unit", "first_unit_1x1", "first_unit_3x3"]
)
def test_flops_are_those_of_the_profiler(position):
    model = small_model(stride_position=position)
    size = (97, 130)
    counted = pyramid_flops(model, size, (1.0,), ())
    assert counted == profiled(lambda x: model.trunk(x)["block3"], *size, 3)

    def whole(images):
        return model.conv5(model.trunk(images)["conv5_input"])

    counted = pyramid_flops(model, size, (1.0, 0.5), (0,))
    assert counted == profiled(whole, *size, 3) + profiled(
        # Halves go to even numbers: 48.5 and 65.
        lambda x: model.trunk(x)["block3"], 48, 65, 3
    )  # fmt: skip


def test_cases_are_the_papers():
    # 1,000 features of 128 numbers, y, x, scale and score; 2,048 numbers.
    assert GLOBAL.bytes(2048, 128) == 8192
    assert JOINT_7.bytes(2048, 128) == 8192 + 1000 * (512 + 16)
    for case in CASES:
        config = case.config("m", 1024)
        assert config.use_local_features == case.has_local
        taken = config.delf_global_config.image_scales_ind
        assert [round(case.scales[i], 3) for i in taken] == (
            [0.707, 1.0, 1.414] if config.use_global_features else []
        )


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="--repeats"):
        LatencyOptions(repeats=0)


@pytest.mark.slow
def test_tool_measures_every_case(tmp_path):
    command = [
        "tools/measure_latency.py",
        "--backbones=resnet_small",
        "--runtimes=tensorflow:float32,openvino:int8,onnxruntime:float32",
        "--image_size=64",
        "--repeats=2",
        f"--output_dir={tmp_path}",
    ]
    done = run_tool(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    rows = {(row["runtime"], row["case"]): row for row in metrics["rows"]}
    assert len(rows) == 3 * (len(CASES) + len(SEPARATE))
    for row in rows.values():
        low, high = row["spread"]
        assert 0 < low <= row["milliseconds"] <= high
    for title, parts in SEPARATE.items():
        expected = sum(
            rows["openvino", part.title]["milliseconds"] for part in parts
        )
        assert rows["openvino", title]["milliseconds"] == expected
        assert title in done.stdout
    ET.fromstring((tmp_path / "latency.svg").read_text())
    again = run_tool(*command)
    assert again.returncode == 1 and "metrics.json" in again.stderr
