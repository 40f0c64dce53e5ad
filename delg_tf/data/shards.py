"""Names and boundaries of record files."""

import os
import pathlib
import re

import numpy as np

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
MAX_SHARDS = 99999

# The split, the shard's index, and how many shards there are.
SHARD_NAME = re.compile(r"^(.+)-(\d{5})-of-(\d{5})$")


def shard_name(prefix: str, index: int, count: int) -> str:
    """Returns a shard's official file name, train-00000-of-00128.

    Args:
        prefix: "train", "validation" or "test".
        index: number of the shard, from 0.
        count: number of shards of the split.

    Raises:
        ValueError: `index` is not below `count`, or they exceed five digits.
    """
    if not 0 <= index < count <= MAX_SHARDS:
        raise ValueError(
            f"`index` must be in [0, `count`) and `count` at most "
            f"{MAX_SHARDS}. Received: {index}, {count}."
        )
    return f"{prefix}-{index:05d}-of-{count:05d}"


def shard_pattern(directory: str | os.PathLike, split: str) -> str:
    """Returns the glob pattern of a split's files, for `--*_file_pattern`."""
    return str(pathlib.Path(directory) / f"{split}-*-of-*")


def shard_boundaries(images: int, count: int) -> np.ndarray:
    """Returns where each shard begins, and where the last one ends.

    As the official builder: evenly spaced from 0 to `images`, decimals cut
    off. With more shards than images some shards are empty.

    Args:
        images: number of images in the split.
        count: number of shards, at least 1.

    Returns:
        int64 [count + 1]; shard i holds the images [b[i], b[i + 1]).
    """
    return np.linspace(0, images, count + 1).astype(np.int64)
