"""Attention scores of local features as a smooth map over the image."""

import cv2
import numpy as np

from delg_tf.features.local_features import LocalFeatures

# Pixels between neighbouring features of one pyramid level, in that level.
_GRID = 16.0
# Of the Gaussian around a feature, in grid spacings. Neighbours blend into
# one surface from about half a spacing on.
_SIGMA = 0.6
# The map is scaled so that this percentile is 1; single peaks are cut.
_FULL = 99.5


def attention_map(
    features: LocalFeatures, image_size: tuple[int, int], longer_side: int
) -> np.ndarray:
    """Spreads each feature's attention around its location.

    Each pyramid level gives a surface that interpolates its scores: Gaussians
    as wide as its grid is coarse, of equal height for equal scores. Levels
    are added up. Places whose features were not kept have no attention.

    Args:
        features: locations (y, x) in pixels of the image, and scales.
        image_size: (height, width) of the image.
        longer_side: of the map, in pixels.

    Returns:
        float32 [height, width] from 0 to 1, of the image's aspect ratio.
    """
    factor = longer_side / max(image_size)
    height, width = (max(1, round(side * factor)) for side in image_size)
    total = np.zeros((height, width), np.float32)
    if not len(features):
        return total
    resize = np.array([height, width]) / image_size
    places = np.rint((features.locations + 0.5) * resize - 0.5).astype(int)
    inside = np.all((places >= 0) & (places < total.shape), axis=1)
    for scale in np.unique(features.scales[inside]):
        level = inside & (features.scales == scale)
        impulses = np.zeros_like(total)
        np.add.at(impulses, tuple(places[level].T), features.attention[level])
        spacing = max(_GRID * float(scale) * factor, 1.0)
        blurred = cv2.GaussianBlur(
            impulses, (0, 0), _SIGMA * spacing, borderType=cv2.BORDER_CONSTANT
        )
        # A pixel's share of a kernel shrinks with its area.
        total += blurred * spacing**2
    highest = np.percentile(total, _FULL)
    highest = highest if highest > 0 else total.max()
    return np.clip(total / highest, 0, 1) if highest > 0 else total
