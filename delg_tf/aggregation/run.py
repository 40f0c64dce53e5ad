"""Features of many images to aggregated files, one an image."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import threadpoolctl
from absl import logging

from delg_tf.aggregation.aggregator import Aggregator
from delg_tf.aggregation.folder import AggregatedWriter
from delg_tf.aggregation.regions import (
    BOXES_SUFFIX,
    SCORE_THRESHOLD,
    regions_of_boxes,
)
from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory, readable
from delg_tf.common.progress import Progress
from delg_tf.features.box_io import read_boxes
from delg_tf.features.storage.base import FeatureSource
from delg_tf.features.storage.skipped import SKIPPED_FILE, write_skipped

# Images handed out at a time.
_BLOCK = 256

# Descriptors [N, D] of an image, and the rows of each region, if any.
Regional = tuple[np.ndarray, list[np.ndarray] | None]


@dataclasses.dataclass(frozen=True)
class AggregationSummary:
    """What a run did.

    Attributes:
        written: images aggregated in this run.
        reused: images that were there.
        empty: images of this run that have no features.
        skipped: (name, reason) of images that could not be read.
    """

    written: int
    reused: int
    empty: int
    skipped: list[tuple[str, str]]


def whole_images(source: FeatureSource) -> Callable[[str], Regional]:
    """Returns a reader of images without regions."""

    def read(name: str) -> Regional:
        return source.read_local(name).descriptors, None

    return read


def boxes_of_images(
    source: FeatureSource,
    boxes_dir: PathLike,
    size_of: Callable[[str], tuple[int, int]],
    score_threshold: float = SCORE_THRESHOLD,
) -> Callable[[str], Regional]:
    """Returns a reader that gives an image's own features to its boxes.

    Args:
        source: local features of whole images.
        boxes_dir: folder of `.boxes` files; an image without one, or with no
            box of the score, is one region.
        size_of: (height, width) of an image in pixels, by its name; may raise
            InputError.
        score_threshold: see `regions_of_boxes`.

    Raises:
        InputError: there is no such folder.
    """
    directory = existing_directory(boxes_dir, "folder of boxes")

    def read(name: str) -> Regional:
        local = source.read_local(name)
        path = directory / f"{name}{BOXES_SUFFIX}"
        if not path.is_file():
            return local.descriptors, None
        return local.descriptors, regions_of_boxes(
            local.locations, read_boxes(path), size_of(name), score_threshold
        )

    return read


def files_of_regions(
    source: FeatureSource, mapping: Mapping[str, Sequence[str]]
) -> Callable[[str], Regional]:
    """Returns a reader of features that lie in a file for each region.

    Args:
        source: local features of all regions, by the names in `mapping`.
        mapping: see `regions.read_index_mapping`.
    """

    def read(name: str) -> Regional:
        if name not in mapping:
            raise InputError(f"The index mapping has no regions of {name}.")
        parts = [source.read_local(part).descriptors for part in mapping[name]]
        ends = np.cumsum([len(part) for part in parts])
        regions = [
            np.arange(end - len(part), end) for part, end in zip(parts, ends)
        ]
        filled = [part for part in parts if len(part)]
        if len({part.shape[1] for part in filled}) > 1:
            raise InputError(f"The regions of {name} differ in their depth.")
        # No features at all: of any depth.
        return np.concatenate(filled or parts[:1]), regions

    return read


def aggregate_images(
    names: Sequence[str],
    read: Callable[[str], Regional],
    aggregator: Aggregator,
    writer: AggregatedWriter,
    num_threads: int | None = None,
) -> AggregationSummary:
    """Aggregates images to files.

    Images whose file is there stay as they are, so a run that was cut off
    goes on. Damaged ones are left out and listed in `skipped_images.csv`.

    Args:
        names: of the images.
        read: one of this module's readers.
        aggregator: how.
        writer: where to.
        num_threads: images at a time; None: some more than processors.

    Raises:
        InputError: no image can be aggregated.
    """
    todo = [name for name in names if not writer.contains(name)]
    done, empty, skipped = len(names) - len(todo), 0, []

    def run(name: str) -> bool | str:
        """Returns whether the image has no features, or why it is skipped."""
        try:
            image = aggregator.aggregate(*read(name))
        except InputError as error:
            return str(error)
        writer.write(name, image)
        return image.is_empty

    with (
        # The images fill the processors; threads of each matrix product's own
        # would only compete with them.
        threadpoolctl.threadpool_limits(1, user_api="blas"),
        concurrent.futures.ThreadPoolExecutor(num_threads) as pool,
        Progress(len(names), "Aggregation", "image", done) as progress,
    ):
        for start in range(0, len(todo), _BLOCK):
            block = todo[start : start + _BLOCK]
            for name, outcome in zip(block, pool.map(run, block)):
                if isinstance(outcome, str):
                    logging.warning("Skipped %s: %s", readable(name), outcome)
                    skipped.append((name, outcome))
                else:
                    empty += outcome
                progress.advance()
    write_skipped(writer.directory / SKIPPED_FILE, skipped)
    if names and len(skipped) == len(names):
        raise InputError(
            f"None of the {len(names)} images could be aggregated; the first: "
            f"{skipped[0][1]}"
        )
    return AggregationSummary(len(todo) - len(skipped), done, empty, skipped)
