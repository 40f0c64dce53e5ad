"""What belongs into a record file, and whether it is there already."""

import dataclasses
import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.data.image_files import FileTable
from delg_tf.data.image_limits import MAX_PIXELS

# Counts up when the same images would give other records.
RECORD_VERSION = 2
STATE_DIRECTORY = ".build"


def state_path(path: pathlib.Path) -> pathlib.Path:
    """Returns where the result of a record file is noted."""
    return path.parent / STATE_DIRECTORY / f"{path.name}.json"


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """What belongs into one record file.

    Attributes:
        path: the record file.
        images: in the order of the records, [N].
        labels: int64 [N], or None.
        max_image_pixels: larger images are left out.
    """

    path: pathlib.Path
    images: FileTable
    labels: np.ndarray | None
    max_image_pixels: int = MAX_PIXELS

    def source_hash(self) -> str:
        """SHA-256 over everything that determines the records.

        Files are known by relative path and size, not by content: that would
        mean to read everything before each run. A file replaced by one of
        another size is noticed; a data set that moved to another disk is
        still the same.
        """
        digest = hashlib.sha256(
            f"{RECORD_VERSION} {self.max_image_pixels}\n".encode()
        )
        for column in (self.images.ids, self.images.paths):
            digest.update(b"\0".join(column.tolist()) + b"\n")
        digest.update(self.images.sizes.astype("<i8").tobytes())
        if self.labels is not None:
            digest.update(b"labels" + self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def absolute(self) -> "ShardJob":
        """Returns the same job for a process with another working directory."""
        root = pathlib.Path(os.path.abspath(self.images.root))
        return dataclasses.replace(
            self,
            path=pathlib.Path(os.path.abspath(self.path)),
            images=dataclasses.replace(self.images, root=root),
        )


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """What became of a job.

    Attributes:
        source_hash: of the job.
        bytes: length of the record file.
        images: number of records.
        converted: number of images that had to become an RGB JPEG.
        skipped: [id, path, reason] of corrupt images.
    """

    source_hash: str
    bytes: int
    images: int
    converted: int
    skipped: list[list[str]]


def finished(job: ShardJob) -> ShardResult | None:
    """Returns the result of an earlier run if its file is still there."""
    try:
        content: Any = files.read_json(state_path(job.path))
        result = ShardResult(**content)
        length = job.path.stat().st_size
    except (InputError, OSError, TypeError):
        return None
    same = result.source_hash == job.source_hash() and result.bytes == length
    return result if same else None
