"""The one interface to all runtimes."""

import abc
import dataclasses

import numpy as np

RUNTIMES = ("auto", "tensorflow", "openvino", "onnxruntime")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


@dataclasses.dataclass(frozen=True, eq=False)
class LevelOutputs:
    """What a network says of a batch of levels; None where not asked for.

    Attributes:
        scores: float32 `[B, h, w]`, attention.
        descriptors: float32 `[B, h, w, D]`, raw.
        global_descriptors: float32 `[B, G]`, raw.
    """

    scores: np.ndarray | None = None
    descriptors: np.ndarray | None = None
    global_descriptors: np.ndarray | None = None


class LevelRuntime(abc.ABC):
    """Runs the level functions of an export (`export.levels`).

    Attributes:
        name: one of `RUNTIMES`, as the log names it.
        precision: one of `PRECISIONS`.
        depths: length of a row of "features" and of "global_descriptors", as
            far as the export has them.
    """

    name: str
    precision: str
    depths: dict[str, int]

    @abc.abstractmethod
    def run(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> LevelOutputs:
        """Runs levels of one size.

        Args:
            levels: float32 `[B, H, W, 3]`, RGB from 0 to 255.
            with_local: whether scores and descriptors are wanted.
            with_global: whether global descriptors are; one of both must be.
        """
