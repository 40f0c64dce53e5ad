"""ASMK and ASMK*: one unit vector, or its signs, for each visual word.

Source: Tolias et al., "Image search with selective match kernels: aggregation
across single and multiple images", IJCV 2016; the representation is that of
the official feature_aggregation_extractor.py.
"""

import numpy as np

from delg_tf.aggregation.vlad import NORM_SQUARED_TOLERANCE, SparseVlad


def unit_residuals(vlad: SparseVlad) -> SparseVlad:
    """Returns the rows of unit length; those of no length are left out.

    Args:
        vlad: VLAD or R-VLAD.
    """
    norms = np.sqrt(np.einsum("wd,wd->w", vlad.residuals, vlad.residuals))
    kept = norms > np.sqrt(NORM_SQUARED_TOLERANCE)
    residuals = vlad.residuals[kept] / norms[kept, np.newaxis]
    return SparseVlad(vlad.words[kept], residuals)


def binarise(residuals: np.ndarray) -> np.ndarray:
    """Packs the signs of residuals, first number in the highest bit.

    Args:
        residuals: float32 [W, D].

    Returns:
        uint8 [W, ceil(D / 8)]: a bit is 1 where the number is above 0; the
        bits after the last number are 0.
    """
    return np.packbits(residuals > 0, axis=1)
