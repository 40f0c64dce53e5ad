"""Functions of an export as models of OpenVINO."""

import openvino
import tensorflow as tf

from delg_tf.export.frozen import freeze


def to_openvino(
    function: tf.types.experimental.ConcreteFunction,
) -> openvino.Model:
    """Converts a function; its outputs keep their names."""
    frozen = freeze(function)
    model = openvino.convert_model(frozen.graph)
    # The converter does not keep the outputs' order.
    for name, tensor in zip(
        sorted(function.structured_outputs), frozen.outputs
    ):
        model.output(tensor.name).tensor.set_names({name})
    return model
