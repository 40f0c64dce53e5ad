"""Database-side augmentation: index images averaged with their neighbours.

Sources: Turcot and Lowe, ICCV workshops 2009; with descriptors of whole
images, Arandjelovic and Zisserman, CVPR 2012.
"""

from collections.abc import Sequence

import numpy as np

from delg_tf.common.progress import Progress
from delg_tf.retrieval.index.memory import MemoryIndex
from delg_tf.retrieval.ranking.weighted_means import mean_with_neighbours

# Numbers of the neighbours' descriptors held at a time: 256 MB.
_NUMBERS_A_BLOCK = 1 << 26
# Images whose neighbours are searched together.
_MOST_A_BLOCK = 4096


def augment_descriptors(
    descriptors: np.ndarray,
    images: int,
    alpha: float = 0.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Replaces each descriptor by the mean of itself and its neighbours.

    The neighbours are the nearest by the original descriptors, found exactly;
    equal ones by id.

    Args:
        descriptors: float32 [N, D], L2-normalised, zeros for an image without
            one: it stays so, and is nobody's neighbour. May be a mapped file.
        images: n, neighbours that join each image; 0 changes nothing.
        alpha: exponent of their weights, similarity^alpha; 0: the average.
        out: float32 [N, D], filled and returned, if given; a mapped file
            bounds the memory. Not `descriptors` itself.

    Returns:
        float32 [N, D], L2-normalised or zeros. Beside it and the index of N
        descriptors a few hundred megabytes are used.

    Raises:
        ValueError: descriptors are not normalised, or `images` is negative.
    """
    if images < 0:
        raise ValueError(f"`images` must be at least 0. Received: {images}")
    out = np.empty(descriptors.shape, np.float32) if out is None else out
    images = min(images, len(descriptors) - 1)
    if not images:
        out[:] = descriptors
        return out
    index = MemoryIndex(_numbers(len(descriptors)), descriptors)
    block = _NUMBERS_A_BLOCK // (images * descriptors.shape[1])
    block = min(max(1, block), _MOST_A_BLOCK)
    with Progress(
        len(descriptors), "Database augmentation", "image"
    ) as progress:
        for start in range(0, len(descriptors), block):
            rows = slice(start, start + block)
            own = np.asarray(descriptors[rows], np.float32)
            ids, similarities = _neighbours(index, own, start, images)
            out[rows] = mean_with_neighbours(
                own, descriptors[ids], similarities, alpha
            )
            progress.advance(len(own))
    return out


def _neighbours(
    index: MemoryIndex, rows: np.ndarray, first_id: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids and similarities [B, n], without the images themselves."""
    hits = index.search(rows, count + 1)
    ids, similarities = hits.ids, hits.similarities
    own = ids == np.arange(first_id, first_id + len(rows))[:, None]
    # Many equal images may have kept an image from its own list.
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), count)
    return ids[~own].reshape(shape), similarities[~own].reshape(shape)


def _numbers(count: int) -> Sequence[str]:
    return [str(number) for number in range(count)]
