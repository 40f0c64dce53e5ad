"""TF1-style models, which are run by the names of their tensors.

The released DELG and DELF models are such: a graph and its variables, no
signature. Names of tensors are those of inputs and outputs, with `:0`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.common.files import PathLike
from delg_tf.extraction.runtimes import base


class GraphModel(base.FeatureModel):
    """The part of a TF1-style SavedModel that gives the outputs asked for.

    Args:
        loaded: what `tf.saved_model.load` gave for a TF1-style model.
        path: of the model, for messages.
        outputs: the outputs that are asked for.

    Raises:
        InputError: the graph lacks one of the tensors.
    """

    def __init__(self, loaded: Any, path: PathLike, outputs: Sequence[str]):
        super().__init__(outputs)
        # Kept alive: a part of the graph does not own its variables.
        self._loaded = loaded
        known = (*base.INPUTS, *base.LOCAL_OUTPUTS, *base.GLOBAL_OUTPUTS)
        tensors = _tensors(loaded.graph, known)
        base.require_names(
            path,
            "tensor",
            [
                f"{name}:0"
                for name in (*self.output_names, *base.needed_inputs(outputs))
            ],
            [tensor.name for tensor in tensors.values()],
            "Change `use_local_features` and `use_global_features`; or, if "
            "it is to be run by its signature, set `is_tf2_exported: true`.",
        )
        self._inputs = [name for name in base.INPUTS if name in tensors]
        self._function = loaded.prune(
            feeds=[tensors[name] for name in self._inputs],
            fetches={name: tensors[name] for name in self.output_names},
        )

    def depth(self, output: str) -> int | None:
        """See the base class."""
        shape = self._function.structured_outputs[output].shape
        return shape[-1] if shape.rank else None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See the base class."""
        results = self._function(
            *(
                tf.constant(inputs[name], tensor.dtype)
                for name, tensor in zip(self._inputs, self._function.inputs)
            )
        )
        return {name: results[name].numpy() for name in self.output_names}


def is_graph(loaded: Any) -> bool:
    """Whether `tf.saved_model.load` gave a TF1-style model."""
    return hasattr(loaded, "prune")


def _tensors(graph: tf.Graph, names: Sequence[str]) -> dict[str, tf.Tensor]:
    """Returns those of the named tensors that a graph has."""
    tensors = {}
    for name in names:
        try:
            tensors[name] = graph.get_tensor_by_name(f"{name}:0")
        except KeyError:
            continue
    return tensors
