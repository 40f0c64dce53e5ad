"""What an export must give, computed by the Keras network level by level."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from delg_tf.data.augmentation import normalise
from delg_tf.export.frozen import Functions
from delg_tf.export.metadata import ExportMetadata
from delg_tf.models.delg import Delg
from delg_tf.models.receptive_field import Window, through_windows

# Levels float32 `[B, H, W, 3]` to outputs of `level_functions`, by name.
Network = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """All cells of a level.

    Attributes:
        locations: float32 `[N, 2]`, (y, x) in pixels of the image.
        scores: float32 `[N]`.
        descriptors: float32 `[N, D]`, raw.
    """

    locations: np.ndarray
    scores: np.ndarray
    descriptors: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Expected:
    """What the network says of an image.

    Attributes:
        cells: of each scale of the pyramid; empty without local features.
        vectors: float32 `[S, G]`, raw global descriptors of all scales; None
            without.
    """

    cells: list[Cells]
    vectors: np.ndarray | None


def keras_network(model: Delg, with_local: bool, with_global: bool) -> Network:
    """The outputs of level functions by the layers of the Keras network."""

    @tf.function(input_signature=[tf.TensorSpec([None] * 3 + [3])])
    def call(levels: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(normalise(levels), training=False)
        results = {}
        if with_local:
            results["scores"] = outputs["scores"][..., 0]
            results["descriptors"] = outputs["descriptors"]
        if with_global:
            results["global_descriptors"] = outputs["global_descriptor"]
        return results

    return lambda levels: _arrays(call(tf.constant(levels)))


def saved_network(functions: Functions) -> Network:
    """The same by an export's own level functions, where Keras is gone."""
    function = max(functions.values(), key=lambda f: len(f.structured_outputs))
    return lambda levels: _arrays(function(levels=tf.constant(levels)))


def expected_of(
    network: Network, metadata: ExportMetadata, image: np.ndarray
) -> Expected:
    """Runs the pyramid of an image.

    Args:
        network: the reference.
        metadata: of the export.
        image: uint8 `[H, W, 3]`, RGB.
    """
    cells, vectors = [], []
    for scale in np.float32(metadata.scales):
        size = np.rint(np.float32(image.shape[:2]) * scale).astype(int)
        height, width = np.maximum(size, metadata.smallest_level).tolist()
        # Half-pixel centres and no anti-aliasing, as in the graph.
        level = cv2.resize(
            image.astype(np.float32), (width, height), None, 0, 0,
            cv2.INTER_LINEAR,
        )  # fmt: skip
        outputs = network(level[np.newaxis])
        if "scores" in outputs:
            [scores], [descriptors] = outputs["scores"], outputs["descriptors"]
            centres = _centres(metadata, image.shape[:2], level.shape, scale)
            cells.append(
                Cells(
                    centres,
                    scores.ravel(),
                    descriptors.reshape(len(centres), -1),
                )
            )
        if "global_descriptors" in outputs:
            vectors.append(outputs["global_descriptors"][0])
    return Expected(cells, np.stack(vectors) if vectors else None)


def _centres(
    metadata: ExportMetadata,
    size: tuple[int, int],
    level: tuple[int, ...],
    scale: np.float32,
) -> np.ndarray:
    """Locations of a level's cells, `[h * w, 2]`."""
    axes = []
    for chain, whole, length in zip(metadata.windows, size, level):
        windows = [Window.from_list(values) for values in chain]
        field = through_windows(windows, length)
        cells = np.arange(field.cells) * field.stride
        if metadata.keypoints == "exact":
            axes.append((cells + field.centre + 0.5) * whole / length - 0.5)
        else:
            axes.append(cells / scale)
    grids = np.meshgrid(*axes, indexing="ij")
    return np.stack([grid.ravel() for grid in grids], 1).astype(np.float32)


def _arrays(outputs: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in outputs.items()}
