"""Photographs and drawings as data URIs, small enough for one page."""

import base64
import io
import pathlib

import cv2
import matplotlib
import numpy as np
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.extraction.images import UnreadableImageError, load_image
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.drawing import draw_matches
from delg_tf.matching.match import Match
from delg_tf.report.attention_map import attention_map

Box = tuple[float, float, float, float]

THUMBNAIL_SIDE = 184
PHOTO_SIDE = 420
MATCH_HEIGHT = 300
# Bytes of a JPEG for each pixel; where detail makes a picture larger, its
# quality sinks, so that the page does not grow without limit.
_BYTES_A_PIXEL = 0.35
_QUALITIES = (80, 70, 60, 50, 40, 30)
_BOX_COLOR = (255, 196, 0)


def load_photo(images_dir: PathLike, name: str) -> np.ndarray:
    """Reads `<name>.jpg`.

    Returns:
        uint8 [height, width, 3] RGB, upright.

    Raises:
        InputError: the file is missing or no image; the message names it.
    """
    path = pathlib.Path(images_dir) / f"{name}.jpg"
    try:
        return load_image(path).pixels
    except UnreadableImageError as error:
        raise InputError(
            f"The image {path}, which the report shows, is missing or cannot "
            f"be read: {error}"
        ) from error


def data_uri(pixels: np.ndarray) -> str:
    """Returns uint8 [height, width, 3] RGB as a JPEG data URI."""
    limit = _BYTES_A_PIXEL * pixels.shape[0] * pixels.shape[1]
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(
            buffer, "JPEG", quality=quality, optimize=True
        )
        if buffer.tell() <= limit:
            break
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/jpeg;base64,{content}"


def shrink(pixels: np.ndarray, longer_side: int) -> np.ndarray:
    """Returns the picture with its longer side at most so many pixels."""
    height, width = pixels.shape[:2]
    factor = min(1.0, longer_side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def enlarge(pixels: np.ndarray, longer_side: int) -> np.ndarray:
    """Returns the picture with its longer side at least so many pixels."""
    height, width = pixels.shape[:2]
    factor = max(1.0, longer_side / max(height, width))
    size = (round(width * factor), round(height * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)


def draw_box(pixels: np.ndarray, box: Box | None) -> np.ndarray:
    """Returns a picture with its box outlined and all else dimmed.

    Args:
        pixels: uint8 [height, width, 3] RGB.
        box: (x1, y1, x2, y2) in pixels, cut out as extraction does it; None:
            the picture is returned as it is.
    """
    if box is None:
        return pixels
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (round(value) for value in box)
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    drawn = (pixels * 0.55).astype(np.uint8)
    drawn[y1:y2, x1:x2] = pixels[y1:y2, x1:x2]
    line = max(1, round(max(height, width) / 130))
    cv2.rectangle(drawn, (x1, y1), (x2 - 1, y2 - 1), _BOX_COLOR, line)
    return drawn


def draw_query(pixels: np.ndarray, box: Box | None) -> np.ndarray:
    """Returns the query photograph with its box, in the page's size."""
    large = enlarge(pixels, PHOTO_SIDE)
    factor = large.shape[1] / pixels.shape[1]
    scaled = None if box is None else tuple(value * factor for value in box)
    return shrink(draw_box(large, scaled), PHOTO_SIDE)


def draw_attention_map(
    pixels: np.ndarray, features: LocalFeatures
) -> np.ndarray:
    """Lays the attention map of an image's features over it.

    Args:
        pixels: uint8 [height, width, 3] RGB.
        features: their locations refer to `pixels`.

    Returns:
        uint8 RGB, the longer side `PHOTO_SIDE`; grey where there is no
        attention.
    """
    heat = attention_map(features, pixels.shape[:2], PHOTO_SIDE)
    size = (heat.shape[1], heat.shape[0])
    photo = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    grey = photo.astype(np.float32).mean(axis=2, keepdims=True)
    color = 255 * matplotlib.colormaps["inferno"](0.15 + 0.85 * heat)[..., :3]
    weight = 0.85 * heat[..., None] ** 0.6
    # Details of the photograph stay visible also where attention is high.
    mixed = (1 - weight) * 0.7 * grey + weight * (0.8 * color + 0.35 * grey)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def draw_inliers(
    query: np.ndarray,
    box: Box | None,
    index: np.ndarray,
    query_features: LocalFeatures,
    index_features: LocalFeatures,
    match: Match,
) -> np.ndarray:
    """Returns the query (left) and an index image with inliers as lines.

    Args:
        query: uint8 [height, width, 3] RGB, the whole query photograph.
        box: of the query, or None.
        index: uint8 RGB, the index photograph.
        query_features: their locations refer to `query`.
        index_features: their locations refer to `index`.
        match: of the two.
    """
    picture = draw_matches(
        draw_box(query, box),
        index,
        query_features,
        index_features,
        match,
        height=MATCH_HEIGHT,
        show_outliers=False,
    )
    # The page has the line above the picture as text.
    return picture[-MATCH_HEIGHT:]
