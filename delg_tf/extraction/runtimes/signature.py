"""Models that are run by their signature, as TF2 exports are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.extraction.runtimes import base

SIGNATURE = "serving_default"


class SignatureModel(base.FeatureModel):
    """The signature `serving_default` of a SavedModel.

    Args:
        loaded: what `tf.saved_model.load` gave.
        path: of the model, for messages.
        outputs: the outputs that are asked for.

    Raises:
        InputError: there is no such signature, or it lacks an input or an
            output, or needs an input that is not known.
    """

    def __init__(self, loaded: Any, path: PathLike, outputs: Sequence[str]):
        super().__init__(outputs)
        # Kept alive: the signature alone does not own its variables.
        self._loaded = loaded
        base.require_names(
            path,
            "signature",
            [SIGNATURE],
            list(loaded.signatures),
            "tools/export_model.py makes models with it.",
        )
        self._function = loaded.signatures[SIGNATURE]
        self._specs = self._function.structured_input_signature[1]
        self._check(path)

    def depth(self, output: str) -> int | None:
        """See the base class."""
        shape = self._function.structured_outputs[output].shape
        return shape[-1] if shape.rank else None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See the base class."""
        results = self._function(
            **{
                name: tf.constant(inputs[name], spec.dtype)
                for name, spec in self._specs.items()
            }
        )
        return {name: results[name].numpy() for name in self.output_names}

    def _check(self, path: PathLike) -> None:
        base.require_names(
            path,
            "output",
            self.output_names,
            self._function.structured_outputs,
            "Change `use_local_features` and `use_global_features`, or "
            "export another --kind.",
        )
        base.require_names(
            path,
            "input",
            base.needed_inputs(self.output_names),
            self._specs,
            "Export it with tools/export_model.py.",
        )
        surplus = set(self._specs) - set(base.INPUTS)
        if surplus:
            raise InputError(
                f"The model {path} needs the unknown inputs {sorted(surplus)}."
            )
