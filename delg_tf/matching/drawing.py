"""Pictures of matches and of keypoints.

Matplotlib draws on its Agg canvas without global state, so that pictures can
be made in threads and on machines without a display.
"""

import pathlib

import cv2
import numpy as np
from matplotlib import cm, colors
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.match import Match

_DPI = 100
# Pixels: between two images, and of the line of text above.
_GAP = 8
_TITLE = 36
# Width of the strip for the bar of attention scores.
_BAR = 100
# Of an image in a picture: one that is longer still is drawn compressed.
_LONGEST_ASPECT = 8
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def draw_matches(
    query_image: np.ndarray,
    index_image: np.ndarray,
    query_features: LocalFeatures,
    index_features: LocalFeatures,
    match: Match,
    path: files.PathLike | None = None,
    *,
    height: int = 480,
    show_outliers: bool = True,
) -> np.ndarray:
    """Draws two images side by side with their matches, query on the left.

    The colour of an inlier follows its height in the query image, so that a
    true motion shows as an orderly rainbow; other putative matches are faint.

    Args:
        query_image: [H, W, 3] uint8 RGB, to which the query's locations refer.
        index_image: [H', W', 3] uint8 RGB.
        query_features: features that `match` refers to.
        index_features: features that `match` refers to.
        match: result of `match_local_features`.
        path: file to write or replace (.png, .jpg, .webp); None: none.
        height: of each image in the picture, in pixels.
        show_outliers: whether to draw matches that are no inliers.

    Returns:
        The picture, [height + title, W, 3] uint8 RGB.

    Raises:
        ValueError: an image has another shape or type.
        InputError: the name of `path` has an unknown ending.
    """
    _check_path(path)
    left, left_factor = _resize(query_image, height, "query_image")
    right, right_factor = _resize(index_image, height, "index_image")
    shift = left.shape[1] + _GAP
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    figure, axes = _canvas(np.concatenate([left, gap, right], axis=1))

    start = _scaled(query_features.locations, left_factor)
    end = _scaled(index_features.locations, right_factor) + np.array([0, shift])
    pairs = [start[match.putative[:, 0]], end[match.putative[:, 1]]]
    # Matplotlib wants (x, y).
    lines = np.stack(pairs, axis=1)[:, :, ::-1]
    if show_outliers:
        _add_lines(axes, lines[~match.inliers], (0.85, 0.85, 0.85), 0.5, 0.3)
    _add_inliers(axes, lines[match.inliers])
    _write_title(
        figure,
        f"Inliers: {match.num_inliers} of {len(match.putative)} putative "
        f"matches  ({len(query_features)} and {len(index_features)} features)",
    )
    return _finish(figure, path)


def draw_attention(
    image: np.ndarray,
    features: LocalFeatures,
    path: files.PathLike | None = None,
    *,
    height: int = 480,
) -> np.ndarray:
    """Draws where the local features are, coloured by their attention.

    The size of a circle follows the feature's scale; the strongest features
    lie on top. A bar shows which score a colour means.

    Args:
        image: [H, W, 3] uint8 RGB, to which the locations refer.
        features: the features; may be empty.
        path: file to write or replace (.png, .jpg, .webp); None: none.
        height: of the image in the picture, in pixels.

    Returns:
        The picture, [height + title, W, 3] uint8 RGB.

    Raises:
        ValueError: the image has another shape or type.
        InputError: the name of `path` has an unknown ending.
    """
    _check_path(path)
    image, factor = _resize(image, height, "image")
    margin = np.full((height, _BAR, 3), 255, np.uint8)
    canvas = np.concatenate([image, margin], axis=1)
    figure, axes = _canvas(canvas)
    weakest_first = features.top(len(features))
    attention = weakest_first.attention[::-1]
    locations = _scaled(weakest_first.locations, factor)[::-1]
    if len(features):
        points = axes.scatter(
            locations[:, 1],
            locations[:, 0],
            s=np.clip(30 * weakest_first.scales[::-1], 6, 200),
            c=attention,
            cmap="inferno",
            norm=colors.Normalize(attention.min(), attention.max()),
            edgecolors="white",
            linewidths=0.4,
            alpha=0.85,
        )
        width = canvas.shape[1]
        full = height + _TITLE
        bar = figure.add_axes(
            ((width - _BAR + 32) / width, 0.1 * height / full, 14 / width,
             0.8 * height / full)
        )  # fmt: skip
        figure.colorbar(points, cax=bar)
        bar.tick_params(labelsize=7)
        bar.set_title("attention", fontsize=7)
    noun = "feature" if len(features) == 1 else "features"
    _write_title(figure, f"{len(features)} local {noun}")
    return _finish(figure, path)


def _add_inliers(axes: Axes, lines: np.ndarray) -> None:
    """Draws lines [N, 2, 2] with dots at their ends, (x, y) in pixels."""
    rainbow = _rainbow(lines[:, 0, 1])
    # The more lines there are, the more must be seen through each.
    alpha = np.clip(60 / (len(lines) + 1), 0.3, 0.9)
    _add_lines(axes, lines, rainbow, 1.1, alpha)
    for side in (0, 1):
        axes.scatter(
            *lines[:, side].T,
            s=14,
            c=rainbow,
            edgecolors="black",
            linewidths=0.5,
            zorder=3,
        )


def _rainbow(heights: np.ndarray) -> np.ndarray:
    """Returns [N, 4] RGBA, from blue at the top to red at the bottom."""
    if len(heights) == 0:
        return np.zeros((0, 4))
    spread = max(float(np.ptp(heights)), 1.0)
    return cm.turbo(0.08 + 0.84 * (heights - heights.min()) / spread)


def _resize(
    image: np.ndarray, height: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the image with another height, and the factors [2] (y, x)."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"`{name}` must be [H, W, 3] uint8. Received: {image.dtype} of "
            f"shape {image.shape}."
        )
    old = np.array(image.shape[:2])
    aspect = np.clip(old[1] / old[0], 1 / _LONGEST_ASPECT, _LONGEST_ASPECT)
    width = max(1, round(height * float(aspect)))
    shrinks = height < old[0]
    resized = cv2.resize(
        image,
        (width, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
    )
    return resized, np.array([height, width]) / old


def _scaled(locations: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Moves pixel centres with the pixels of a resized image."""
    return (locations + 0.5) * factor - 0.5


def _canvas(image: np.ndarray) -> tuple[Figure, Axes]:
    """Returns a figure with the image, pixel for pixel, below a title."""
    height, width = image.shape[:2]
    full = height + _TITLE
    figure = Figure(figsize=(width / _DPI, full / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, height / full))
    axes.imshow(image, interpolation="nearest", aspect="auto")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_axis_off()
    return figure, axes


def _add_lines(
    axes: Axes,
    lines: np.ndarray,
    color: np.ndarray | tuple[float, float, float],
    width: float,
    alpha: float,
) -> None:
    axes.add_collection(
        LineCollection(lines, colors=color, linewidths=width, alpha=alpha)
    )


def _write_title(figure: Figure, text: str) -> None:
    width, height = figure.get_size_inches() * _DPI
    # The text shrinks where the picture is narrow.
    size = min(11.0, 1.2 * width / len(text))
    figure.text(
        0.5,
        1 - _TITLE / 2 / height,
        text,
        ha="center",
        va="center",
        fontsize=size,
    )


def _check_path(path: files.PathLike | None) -> None:
    if path is None:
        return
    if pathlib.Path(path).suffix.lower() not in _FORMATS:
        raise InputError(
            f"{path} must end with one of {', '.join(_FORMATS)} to be a "
            "picture file."
        )


def _finish(figure: Figure, path: files.PathLike | None) -> np.ndarray:
    """Renders the figure and writes it to `path`, if there is one."""
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()
    if path is not None:
        kind = _FORMATS[pathlib.Path(path).suffix.lower()]
        with files.atomic_write(path) as file:
            Image.fromarray(picture).save(file, kind, quality=92)
    return picture
