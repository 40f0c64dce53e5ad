"""ONNX copies of an export's level functions, by tf2onnx.

tf2onnx needs 7 gigabytes of memory for one ResNet-50, and a pyramid is a graph
of seven; so they hold the network on a level, and callers do the resizing.
"""

import logging as python_logging
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from delg_tf.export.frozen import Functions, freeze

# Read by ONNX Runtime from 1.14 on.
_OPSET = 18


def write_onnx(
    functions: Functions, folder: pathlib.Path, properties: Mapping[str, str]
) -> None:
    """Writes `level_local.onnx`, `level_global.onnx`, `level_both.onnx`.

    Inputs, outputs and their names are those of `level_functions`; batch,
    height and width are free.

    Args:
        functions: the level functions.
        folder: of the files.
        properties: stored in each file, as its metadata.
    """
    import onnx

    # The largest contains the others; converting is what takes long.
    largest = max(
        functions, key=lambda name: len(functions[name].structured_outputs)
    )
    model = _convert(functions[largest])
    extractor = onnx.utils.Extractor(model)
    for name, function in functions.items():
        part = extractor.extract_model(
            ["levels"], sorted(function.structured_outputs)
        )
        onnx.helper.set_model_props(part, dict(properties))
        onnx.checker.check_model(part)
        onnx.save(part, folder / f"{name}.onnx")


def _convert(function: tf.types.experimental.ConcreteFunction) -> Any:
    """The ONNX model of a level function, with its names."""
    import tf2onnx

    # It says of each node that it was looked at.
    python_logging.getLogger("tf2onnx").setLevel(python_logging.ERROR)
    frozen = freeze(function)
    names = {frozen.inputs[0].name: "levels"}
    for tensor, name in zip(
        frozen.outputs, sorted(function.structured_outputs)
    ):
        names[tensor.name] = name
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[tensor.name for tensor in frozen.inputs],
        output_names=[tensor.name for tensor in frozen.outputs],
        opset=_OPSET,
    )
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return model
