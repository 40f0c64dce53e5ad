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
        cells: int `[B, K]`, the best cells of the feature map, row by row, by
            falling score; of equal scores the first comes first.
        scores: float32 `[B, K]`, their attention.
        descriptors: float32 `[B, K, D]`, raw.
        global_descriptors: float32 `[B, G]`, raw.
    """

    cells: np.ndarray | None = None
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
        bytes_per_pixel: memory that it takes for a pixel of a level, about;
            as measured with R50 and R101.
    """

    name: str
    precision: str
    depths: dict[str, int]
    bytes_per_pixel: int = 280

    def run(
        self,
        levels: np.ndarray,
        with_local: bool,
        with_global: bool,
        limit: int | None = None,
    ) -> LevelOutputs:
        """Runs levels of one size.

        Args:
            levels: float32 `[B, H, W, 3]`, RGB from 0 to 255.
            with_local: whether local features are wanted.
            with_global: whether global descriptors are; one of both must be.
            limit: cells of a feature map, at most; None: all.
        """
        outputs = self.maps(levels, with_local, with_global)
        if not with_local:
            return LevelOutputs(**outputs)
        batch, height, width, depth = outputs["descriptors"].shape
        scores = outputs["scores"].reshape(batch, height * width)
        maps = outputs["descriptors"].reshape(batch, height * width, depth)
        cells = np.argsort(-scores, axis=1, kind="stable")[:, :limit]
        return LevelOutputs(
            cells,
            np.take_along_axis(scores, cells, axis=1),
            np.take_along_axis(maps, cells[..., np.newaxis], axis=1),
            outputs.get("global_descriptors"),
        )

    @abc.abstractmethod
    def maps(
        self, levels: np.ndarray, with_local: bool, with_global: bool
    ) -> dict[str, np.ndarray]:
        """Runs levels of one size, without selection.

        Args:
            levels: float32 `[B, H, W, 3]`, RGB from 0 to 255.
            with_local: whether local features are wanted.
            with_global: whether global descriptors are; one of both must be.

        Returns:
            float32: `scores` `[B, h, w]` and `descriptors` `[B, h, w, D]`,
            `global_descriptors` `[B, G]`.
        """
