"""The pyramid of an image, run level by level on a batch of images.

The same computation as the official signature of an export
(`export.modules`), for any runtime and for many images of one size at a time.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from delg_tf.export.metadata import ExportMetadata
from delg_tf.export.selection import select_features
from delg_tf.extraction.levels.base import LevelOutputs, LevelRuntime
from delg_tf.models.receptive_field import Window, through_windows

# Boxes, descriptors, scales and scores.
_LevelFeatures = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class PyramidPlan:
    """What is computed of each image.

    Attributes:
        scales: of the levels.
        local_scales: indices of the levels with local features.
        global_scales: indices of the levels with global descriptors.
        max_features: local features kept of an image, at most.
        threshold: least attention score of one.
    """

    scales: tuple[float, ...]
    local_scales: tuple[int, ...]
    global_scales: tuple[int, ...]
    max_features: int
    threshold: float


@dataclasses.dataclass(frozen=True, eq=False)
class RawFeatures:
    """Features of one image as the network gives them.

    Attributes:
        boxes: float32 `[N, 4]`, receptive fields (ymin, xmin, ymax, xmax) in
            pixels of the image that was given.
        descriptors: float32 `[N, D]`, not normalised.
        scales: float32 `[N]`, 1 / scale of the level.
        scores: float32 `[N]`, attention, falling.
        vectors: float32 `[G, D]`, global descriptors, not normalised, in the
            order of `PyramidPlan.global_scales`.
    """

    boxes: np.ndarray
    descriptors: np.ndarray
    scales: np.ndarray
    scores: np.ndarray
    vectors: np.ndarray


class Pyramid:
    """Runs pyramids of images of one size.

    Args:
        runtime: runs the levels.
        metadata: of the export.
        plan: what is computed.
    """

    def __init__(
        self,
        runtime: LevelRuntime,
        metadata: ExportMetadata,
        plan: PyramidPlan,
    ):
        self._runtime = runtime
        self._metadata = metadata
        self._plan = plan
        self._windows = [
            [Window.from_list(values) for values in axis]
            for axis in metadata.windows
        ]

    def run(self, images: Sequence[np.ndarray]) -> list[RawFeatures]:
        """Extracts the features of images.

        Args:
            images: uint8 `[H, W, 3]`, RGB, all of one size.

        Returns:
            Those of each image; they do not depend on the others.
        """
        plan = self._plan
        pixels = [image.astype(np.float32) for image in images]
        size = images[0].shape[:2]
        local: list[list[_LevelFeatures]] = [[] for _ in images]
        vectors: dict[int, np.ndarray] = {}
        for level, scale in enumerate(plan.scales):
            wanted = level in plan.local_scales, level in plan.global_scales
            if not any(wanted):
                continue
            part = level_size(size, scale, self._metadata.smallest_level)
            outputs = self._runtime.run(
                resized(pixels, part), *wanted, limit=self._limit
            )
            if wanted[0]:
                boxes = self.boxes(size, part, scale)
                for features, item in zip(
                    local, self._kept(outputs, boxes, scale)
                ):
                    features.append(item)
            if wanted[1]:
                vectors[level] = outputs.global_descriptors
        return [
            self._select(
                features,
                [vectors[level][place] for level in plan.global_scales],
            )
            for place, features in enumerate(local)
        ]

    def boxes(
        self,
        size: tuple[int, int],
        part: tuple[int, int],
        scale: float,
    ) -> np.ndarray:
        """Receptive fields of a level's cells; see `export.pyramid`.

        Args:
            size: height and width of the image.
            part: of the level.
            scale: of the level.

        Returns:
            float32 `[h * w, 4]`: ymin, xmin, ymax, xmax in pixels of the image.
        """
        exact = self._metadata.keypoints == "exact"
        scale = np.float32(scale)
        centres, halves = [], []
        for chain, whole, length in zip(self._windows, size, part):
            field = through_windows(chain, length)
            cells = np.arange(field.cells, dtype=np.float32) * field.stride
            half = np.float32((field.size - 1) / 2)
            if exact:
                zoom = np.float32(whole) / np.float32(length)
                first = np.float32(field.centre + 0.5)
                centres.append((cells + first) * zoom - np.float32(0.5))
                halves.append(half * zoom)
            else:
                centres.append(cells / scale)
                halves.append(half / scale)
        y, x = (grid.ravel() for grid in np.meshgrid(*centres, indexing="ij"))
        sides = [y - halves[0], x - halves[1], y + halves[0], x + halves[1]]
        return np.stack(sides, axis=1).astype(np.float32)

    def _kept(
        self, outputs: LevelOutputs, boxes: np.ndarray, scale: float
    ) -> list[_LevelFeatures]:
        """Features of a level that may be among the best of each image."""
        result = []
        for cells, scores, descriptors in zip(
            outputs.cells, outputs.scores, outputs.descriptors
        ):
            # In the order of the map, which decides between equal scores.
            kept = np.flatnonzero(scores >= np.float32(self._plan.threshold))
            kept = kept[np.argsort(cells[kept])]
            result.append(
                (
                    boxes[cells[kept]],
                    descriptors[kept],
                    np.full(len(kept), 1 / np.float32(scale), np.float32),
                    scores[kept],
                )
            )
        return result

    @property
    def _limit(self) -> int | None:
        """Cells of each level; more than an image keeps, none can give.

        None: all, as others may be suppressed.
        """
        suppresses = self._metadata.iou_threshold < 1
        return None if suppresses else self._plan.max_features

    def _select(
        self, levels: list[_LevelFeatures], vectors: list[np.ndarray]
    ) -> RawFeatures:
        """The best features of all levels of an image."""
        if not levels:
            empty = np.zeros((0, 0), np.float32)
            none = np.zeros(0, np.float32)
            return RawFeatures(empty, empty, none, none, _stacked(vectors))
        boxes, descriptors, scales, scores = (
            np.concatenate(parts) for parts in zip(*levels)
        )
        best = select_features(
            boxes,
            scores,
            self._plan.max_features,
            self._metadata.iou_threshold,
        ).numpy()
        return RawFeatures(
            boxes[best],
            descriptors[best],
            scales[best],
            scores[best],
            _stacked(vectors),
        )


def level_size(
    size: tuple[int, int], scale: float, smallest: int = 1
) -> tuple[int, int]:
    """Height and width of a level: size * scale, halves to even.

    Args:
        size: of the image.
        scale: of the level.
        smallest: least length of a side.
    """
    rounded = np.rint(np.float32(size) * np.float32(scale))
    height, width = np.maximum(rounded, max(smallest, 1)).astype(int)
    return int(height), int(width)


def resized(images: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Levels `[B, H, W, 3]`, bilinear, with half-pixel centres."""
    height, width = size
    levels = np.empty((len(images), height, width, 3), np.float32)
    for level, image in zip(levels, images):
        if image.shape[:2] == size:
            level[:] = image
        else:
            cv2.resize(image, (width, height), level, 0, 0, cv2.INTER_LINEAR)
    return levels


def _stacked(vectors: list[np.ndarray]) -> np.ndarray:
    return np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
