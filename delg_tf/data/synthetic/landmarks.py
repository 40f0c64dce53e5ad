"""Synthetic landmarks: flat facades cut from photographs."""

import dataclasses

import cv2
import numpy as np

from delg_tf.data.synthetic.photographs import Photograph

# Side of a landmark's picture in pixels.
FACADE_SIZE = 256
# Sides of the windows that are cut from photographs, in pixels.
_WINDOW_SIZES = (110, 135, 170)
# A window needs corners in most of a 4 x 4 grid of its parts: a plain or a
# striped surface could not be told from its neighbour. The strength is the
# smaller eigenvalue of the structure tensor of grey values in [0, 1].
_GRID = 4
_MIN_CORNER_PARTS = 11
_MIN_CORNER_STRENGTH = 2e-3
# No photograph may dominate.
_MAX_REGIONS = 24


@dataclasses.dataclass(frozen=True)
class Landmark:
    """A flat landmark.

    Attributes:
        regions: names of the photographs' regions that it shows.
        facade: uint8 `[FACADE_SIZE, FACADE_SIZE, 3]`, RGB.
    """

    regions: tuple[str, ...]
    facade: np.ndarray

    @property
    def name(self) -> str:
        """The region's name, or all those of a scene."""
        if len(self.regions) == 1:
            return self.regions[0]
        return "scene:" + "+".join(self.regions)


def cut_regions(
    photographs: list[Photograph], max_overlap: float, seed: int
) -> list[Landmark]:
    """Cuts as many square, structured regions as fit.

    Args:
        photographs: where from.
        max_overlap: largest share of a window that an accepted one may
            cover; 0 makes all disjoint.
        seed: of the windows' order and sizes.

    Returns:
        One landmark for each region.
    """
    landmarks = []
    for number, photograph in enumerate(photographs):
        rng = np.random.default_rng([seed, number])
        accepted: list[tuple[int, int, int]] = []
        for window in _windows(photograph.pixels.shape[:2], rng):
            if len(accepted) == _MAX_REGIONS:
                break
            if any(_overlap(window, o) > max_overlap for o in accepted):
                continue
            y, x, side = window
            crop = photograph.pixels[y : y + side, x : x + side]
            if _has_corners(crop):
                accepted.append(window)
                name = f"{photograph.name}:{y},{x},{side}"
                landmarks.append(Landmark((name,), _fit(crop)))
    return landmarks


def compose_scenes(
    regions: list[Landmark], count: int, seed: int
) -> list[Landmark]:
    """Composes landmarks from parts of regions of several photographs.

    A scene is split by a horizontal and a vertical line into four parts; each
    shows another region, mirrored or turned by a quarter at random.

    Args:
        regions: landmarks to take the parts from, four at least.
        count: number of scenes.
        seed: of all choices.

    Returns:
        The scenes.
    """
    scenes = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        chosen = rng.choice(len(regions), 4, replace=False)
        row, column = rng.integers(
            int(0.35 * FACADE_SIZE), int(0.65 * FACADE_SIZE), 2
        )
        facade = np.empty((FACADE_SIZE, FACADE_SIZE, 3), np.uint8)
        spans = [
            (0, row, 0, column),
            (0, row, column, FACADE_SIZE),
            (row, FACADE_SIZE, 0, column),
            (row, FACADE_SIZE, column, FACADE_SIZE),
        ]
        for index, (top, bottom, left, right) in zip(chosen, spans):
            part = np.rot90(regions[index].facade, rng.integers(4))
            if rng.random() < 0.5:
                part = part[:, ::-1]
            part = part[: bottom - top, : right - left]
            facade[top:bottom, left:right] = part
        names = tuple(regions[index].name for index in chosen)
        scenes.append(Landmark(names, facade))
    return scenes


def _windows(
    shape: tuple[int, int], rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """Candidate windows (y, x, side) in a random order."""
    windows = [
        (y, x, side)
        for side in _WINDOW_SIZES
        for y in range(0, shape[0] - side + 1, 10)
        for x in range(0, shape[1] - side + 1, 10)
    ]
    return [windows[i] for i in rng.permutation(len(windows))]


def _overlap(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    """Intersection over the smaller window."""
    height = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    width = min(a[1] + a[2], b[1] + b[2]) - max(a[1], b[1])
    return max(height, 0) * max(width, 0) / min(a[2], b[2]) ** 2


def _has_corners(crop: np.ndarray) -> bool:
    """Whether most parts of the crop have a place of their own."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    strength = cv2.cornerMinEigenVal(grey, blockSize=5, ksize=3)
    side = len(grey) // _GRID * _GRID
    parts = strength[:side, :side].reshape(
        _GRID, side // _GRID, _GRID, side // _GRID
    )
    strong = parts.max(axis=(1, 3)) > _MIN_CORNER_STRENGTH
    return strong.sum() >= _MIN_CORNER_PARTS


def _fit(crop: np.ndarray) -> np.ndarray:
    return cv2.resize(
        crop, (FACADE_SIZE, FACADE_SIZE), interpolation=cv2.INTER_CUBIC
    )
