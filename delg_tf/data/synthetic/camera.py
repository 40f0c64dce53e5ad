"""A simulated camera that photographs flat landmarks.

A view is made as a photograph comes about: a pinhole camera projects the
facade in front of a background, things stand in the way, light and lens change
the colours, the sensor adds noise, and the file is a JPEG.
"""

import dataclasses

import cv2
import numpy as np

# Rendered so many times larger, then averaged down: anti-aliasing.
_SUPERSAMPLING = 2


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How hard the views are.

    Attributes:
        coverage: range of the facade's side as a share of the image's shorter
            side.
        tilt: largest angle between the facade's normal and the optical axis,
            degrees (pan and tilt each).
        roll: largest rotation about the optical axis, degrees.
        offset: largest shift of the facade's centre, share of the free space
            (1 may touch the border; more cuts off).
        light: strength of changes of exposure, colour and shadow, 0 to 1.
        occlusion: range of the share of the facade that is hidden.
        noise: largest standard deviation of the noise, grey levels.
        blur: largest standard deviation of the blur, pixels.
        quality: range of the JPEG quality.
    """

    coverage: tuple[float, float]
    tilt: float
    roll: float
    offset: float
    light: float
    occlusion: tuple[float, float]
    noise: float
    blur: float
    quality: tuple[int, int]


QUERY = Conditions((0.8, 0.95), 10, 4, 0.5, 0.25, (0, 0), 3, 0.4, (85, 95))
EASY = Conditions((0.7, 1.0), 25, 10, 1.0, 0.5, (0, 0.1), 6, 0.8, (60, 95))
HARD = Conditions((0.4, 0.65), 40, 18, 1.0, 0.9, (0.1, 0.35), 10, 1.2, (40, 80))
# Nearly nothing of the landmark is left.
JUNK = Conditions((0.22, 0.3), 50, 30, 1.2, 1.0, (0.6, 0.75), 14, 1.8, (30, 60))
# What training sees: everything from a query to a hard view.
TRAIN = Conditions((0.5, 1.1), 38, 15, 1.0, 0.9, (0, 0.25), 10, 1.1, (40, 95))


@dataclasses.dataclass(frozen=True)
class View:
    """A simulated photograph.

    Attributes:
        pixels: uint8 `[height, width, 3]`, RGB, before JPEG compression.
        box: the visible facade's bounding box (x1, y1, x2, y2), pixels.
        quality: JPEG quality to store it with.
        homography: float64 `[3, 3]`, maps homogeneous (x, y, 1) of the
            facade's pixels to the view's pixels (pixel centres are integers).
    """

    pixels: np.ndarray
    box: tuple[float, float, float, float]
    quality: int
    homography: np.ndarray


def photograph(
    facade: np.ndarray | None,
    background: np.ndarray,
    occluder: np.ndarray,
    conditions: Conditions,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> View:
    """Takes a photograph of a landmark.

    Args:
        facade: uint8 `[h, w, 3]`, the landmark; None for a view of nothing
            but background.
        background: uint8 `[h, w, 3]`, what is behind; a random part is shown.
        occluder: uint8 `[h, w, 3]`, texture of what is in front.
        conditions: how hard it is.
        size: (height, width) of the view in pixels.
        rng: source of all randomness.

    Returns:
        The view.
    """
    height, width = (side * _SUPERSAMPLING for side in size)
    canvas = _random_part(background, (height, width), rng)
    homography = np.eye(3)
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    if facade is not None:
        homography = _projection(facade.shape, (height, width), conditions, rng)
        _paste(canvas, facade, homography)
        _occlude(canvas, facade, homography, occluder, conditions, rng)
        # From supersampled to final pixel centres: x' = (x + 0.5) / s - 0.5.
        shrink = np.diag([1 / _SUPERSAMPLING, 1 / _SUPERSAMPLING, 1])
        shrink[:2, 2] = 0.5 / _SUPERSAMPLING - 0.5
        homography = shrink @ homography
        box = _box(_corners(facade.shape, homography), size)
    canvas = cv2.resize(
        canvas, (size[1], size[0]), interpolation=cv2.INTER_AREA
    )
    canvas = _expose(canvas.astype(np.float32), conditions, rng)
    quality = int(rng.integers(*conditions.quality, endpoint=True))
    return View(canvas, box, quality, homography)


def _projection(
    facade_shape: tuple[int, ...],
    canvas: tuple[int, int],
    conditions: Conditions,
    rng: np.random.Generator,
) -> np.ndarray:
    """Homography of a pinhole camera that looks at the facade."""
    h, w = facade_shape[:2]
    pan, tilt = np.radians(rng.uniform(-1, 1, 2) * conditions.tilt)
    roll = np.radians(rng.uniform(-1, 1) * conditions.roll)
    rotation = cv2.Rodrigues(np.array([0, 0, roll]))[0]
    rotation = rotation @ cv2.Rodrigues(np.array([tilt, 0, 0]))[0]
    rotation = rotation @ cv2.Rodrigues(np.array([0, pan, 0]))[0]
    side = rng.uniform(*conditions.coverage) * min(canvas)
    # The focal length is 1.2 image sides; the distance makes the size right.
    focal = 1.2 * min(canvas)
    distance = focal * max(h, w) / side
    to_plane = np.array([[1, 0, -(w - 1) / 2], [0, 1, -(h - 1) / 2], [0, 0, 1]])
    pose = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, distance]])
    camera = np.diag([focal, focal, 1.0])
    homography = camera @ pose @ to_plane
    corners = _corners(facade_shape, homography)
    low, high = corners.min(axis=0), corners.max(axis=0)
    # Offset 1 puts the facade at the border, also if it is larger than that.
    free = np.abs(np.array(canvas[::-1]) - (high - low)) / 2
    centre = np.array(canvas[::-1]) / 2
    shift = centre - (low + high) / 2
    shift = shift + rng.uniform(-1, 1, 2) * conditions.offset * free
    move = np.eye(3)
    move[:2, 2] = shift
    return move @ homography


def _corners(
    facade_shape: tuple[int, ...], homography: np.ndarray
) -> np.ndarray:
    """The facade's projected corners [4, 2], (x, y)."""
    h, w = facade_shape[:2]
    corners = np.array(
        [[[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]]], np.float64
    )
    return cv2.perspectiveTransform(corners, homography)[0]


def _box(
    corners: np.ndarray, size: tuple[int, int]
) -> tuple[float, float, float, float]:
    low = np.clip(corners.min(axis=0), 0, None)
    high = np.minimum(corners.max(axis=0), [size[1] - 1, size[0] - 1])
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _random_part(
    picture: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """A random part of a picture, scaled to a size and maybe mirrored."""
    h, w = picture.shape[:2]
    scale = min(h / size[0], w / size[1]) * rng.uniform(0.5, 1.0)
    ph, pw = max(int(size[0] * scale), 2), max(int(size[1] * scale), 2)
    y = rng.integers(h - ph + 1)
    x = rng.integers(w - pw + 1)
    part = picture[y : y + ph, x : x + pw]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return cv2.resize(
        np.ascontiguousarray(part), size[::-1], interpolation=cv2.INTER_LINEAR
    )


def _paste(
    canvas: np.ndarray, facade: np.ndarray, homography: np.ndarray
) -> None:
    """Draws the projected facade into the canvas."""
    size = canvas.shape[1::-1]
    warped = cv2.warpPerspective(
        facade,
        homography,
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    mask = cv2.warpPerspective(
        np.full(facade.shape[:2], 255, np.uint8), homography, size
    )
    # Rendered supersampled, so a hard edge here becomes a soft one.
    cv2.copyTo(warped, cv2.compare(mask, 127, cv2.CMP_GT), canvas)


def _occlude(
    canvas: np.ndarray,
    facade: np.ndarray,
    homography: np.ndarray,
    occluder: np.ndarray,
    conditions: Conditions,
    rng: np.random.Generator,
) -> None:
    """Puts ellipses and boxes in front until enough of the facade is hidden."""
    target = rng.uniform(*conditions.occlusion)
    if target <= 0.02:
        return
    corners = _corners(facade.shape, homography)
    visible = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillConvexPoly(visible, np.round(corners).astype(np.int32), 1)
    area = max(int(visible.sum()), 1)
    hidden = np.zeros_like(visible)
    side = np.sqrt(area)
    low, high = corners.min(axis=0), corners.max(axis=0)
    for _ in range(20):
        if (hidden & visible).sum() >= target * area:
            break
        x, y = (int(v) for v in rng.uniform(low, high))
        half = [int(v) for v in side * rng.uniform(0.1, 0.3, 2) + 1]
        if rng.random() < 0.5:
            angle = float(rng.uniform(0, 180))
            cv2.ellipse(hidden, (x, y), tuple(half), angle, 0, 360, 1, -1)
        else:
            cv2.rectangle(
                hidden,
                (x - half[0], y - half[1]),
                (x + half[0], y + half[1]),
                1,
                -1,
            )
    texture = _random_part(occluder, canvas.shape[:2], rng)
    cv2.copyTo(texture, hidden, canvas)


def _expose(
    canvas: np.ndarray, conditions: Conditions, rng: np.random.Generator
) -> np.ndarray:
    """Shadow, exposure, white balance, contrast, blur and noise."""
    strength = conditions.light
    h, w = canvas.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    depth = 0.3 * strength * rng.uniform()
    ramp = np.add.outer(
        np.linspace(-depth, depth, h, dtype=np.float32) * np.sin(angle),
        np.linspace(-depth, depth, w, dtype=np.float32) * np.cos(angle),
    )
    image = canvas * ((1 + ramp) / 255)[..., None]
    image = cv2.pow(
        np.maximum(image, 0), float(np.exp(strength * rng.uniform(-0.5, 0.5)))
    )
    balance = np.exp(strength * rng.uniform(-0.15, 0.15, 3))
    gain = balance * np.exp(strength * rng.uniform(-0.35, 0.3))
    contrast = np.exp(strength * rng.uniform(-0.4, 0.2))
    image *= (gain * contrast).astype(np.float32)
    image += np.float32(image.mean() * (1 / contrast - 1))
    blur = rng.uniform(0, conditions.blur)
    if blur > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    deviation = np.float32(rng.uniform(0, conditions.noise))
    noise = rng.standard_normal(image.shape, np.float32)
    image = image * 255 + noise * deviation
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)
