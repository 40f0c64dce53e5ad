"""What global descriptors of index and queries must be like."""

import numpy as np

# Float32 descriptors are normalised only so far.
NORM_TOLERANCE = 1e-3
# Of an image without a descriptor to any other: no cosine is less.
LEAST_SIMILARITY = -1.0


def check_descriptors(
    what: str, descriptors: np.ndarray, dimension: int | None = None
) -> np.ndarray:
    """Returns descriptors as the search needs them.

    Args:
        what: name of the argument, for the message.
        descriptors: float [N, D], N and D at least 1; each row L2-normalised,
            or zeros for an image without a descriptor.
        dimension: D, if known.

    Returns:
        float32 [N, D], contiguous.

    Raises:
        ValueError: they are not so.
    """
    descriptors = np.ascontiguousarray(descriptors, dtype=np.float32)
    if (
        descriptors.ndim != 2
        or not descriptors.size
        or descriptors.shape[1] != (dimension or descriptors.shape[1])
    ):
        raise ValueError(
            f"`{what}` must be [N, {dimension or 'D'}] with N at least 1. "
            f"Received: shape {descriptors.shape}"
        )
    norms = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors))
    # Written so that a NaN fails too.
    unit = np.abs(norms - 1.0) <= NORM_TOLERANCE
    bad = np.flatnonzero(~(unit | (norms == 0)))
    if bad.size:
        raise ValueError(
            f"`{what}` must be L2-normalised. Received: row {bad[0]} with "
            f"norm {norms[bad[0]]}"
        )
    return descriptors
