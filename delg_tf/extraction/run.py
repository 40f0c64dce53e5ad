"""Extraction of many images into feature files."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.extraction.config import with_absolute_paths
from delg_tf.extraction.image_extractor import (
    ImageExtractor,
    MakeImageExtractor,
)
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.outputs import extraction_sink
from delg_tf.extraction.shard import (
    ExtractionJob,
    ExtractionShard,
    ShardSummary,
    extract_shard,
    forget_model,
)
from delg_tf.features.feature_io import LOCAL_SUFFIX
from delg_tf.features.storage.base import FeatureSink
from delg_tf.features.storage.skipped import write_skipped
from delg_tf.parallel.base import ShardRunner
from delg_tf.parallel.threads import ThreadRunner
from delg_tf.protos import delf_config_pb2

MakeExtractor = Callable[[delf_config_pb2.DelfConfig], ImageExtractor]
# Enough that reading ahead anew for each shard costs nothing.
_LARGEST_SHARD = 2000
# Of each worker, so that all end at about the same time.
_SHARDS_OF_A_WORKER = 8


@dataclasses.dataclass(frozen=True)
class ExtractionSummary:
    """What a run did.

    Attributes:
        extracted: images done in this run.
        empty: those of them that are too small to have features.
        reused: images whose files were there.
        skipped: (name, reason) of images that could not be used.
        images_per_second: of this run; 0 if nothing was to be done.
    """

    extracted: int
    empty: int
    reused: int
    skipped: list[tuple[str, str]]
    images_per_second: float

    def describe(self) -> str:
        """Returns it as a sentence."""
        return (
            f"{self.extracted} images extracted "
            f"({self.images_per_second:.1f} a second), {self.empty} of them "
            f"too small to have features; {self.reused} were there, "
            f"{len(self.skipped)} skipped."
        )


def extract_images(
    config: delf_config_pb2.DelfConfig,
    items: Sequence[ImageItem],
    output: PathLike | FeatureSink,
    make_extractor: MakeExtractor | None = None,
    local_suffix: str = LOCAL_SUFFIX,
    **options: Any,
) -> ExtractionSummary:
    """Extracts images by a DELG network into feature files or a store.

    Args:
        config: what to extract.
        items: the images.
        output: folder of official feature files, created if missing; or any
            sink, which stays open.
        make_extractor: loads the model of a configuration; None: `Extractor`.
        local_suffix: extension of official files of local features.
        **options: of `run_extraction`.

    Returns:
        What was done.

    Raises:
        InputError: the model is missing or unfit; see `run_extraction`.
        ChildProcessError: a worker was lost; start again.
    """
    sink = output
    if not isinstance(sink, FeatureSink):
        sink = extraction_sink(config, output, local_suffix=local_suffix)
    make = functools.partial(
        make_extractor or _load_extractor, with_absolute_paths(config)
    )
    return run_extraction(make, items, sink, **options)


def _load_extractor(config: delf_config_pb2.DelfConfig) -> ImageExtractor:
    # Loads TensorFlow, which other extractors do without.
    from delg_tf.extraction.extractor import Extractor

    return Extractor(config)


def run_extraction(
    make_extractor: MakeImageExtractor,
    items: Sequence[ImageItem],
    sink: FeatureSink,
    batch_size: int = 1,
    max_image_pixels: int = MAX_PIXELS,
    memory_limit: int | None = None,
    runner: ShardRunner | None = None,
    images_per_shard: int | None = None,
) -> ExtractionSummary:
    """Extracts images by any extractor.

    Images whose features are there are passed over, so a run that was cut off
    goes on. Images that cannot be used are left out and listed, with the
    reason, in `skipped_images.csv` of the output folder. Images that are too
    small to have features get files that say so.

    Args:
        make_extractor: makes the extractor; called only if there is work, once
            in each process. Processes and machines need one that can be
            pickled.
        items: the images.
        sink: where features are written; stays open.
        batch_size: images of one size that go through the network together,
            at most.
        max_image_pixels: larger images are left out.
        memory_limit: bytes that a process may take; fewer images are then
            held at a time, and those that do not fit are left out. None: no
            limit.
        runner: where the work is done; None: in this process.
        images_per_shard: images given to a worker at a time; None: up to
            2,000, fewer if there are more workers.

    Returns:
        What was done.

    Raises:
        InputError: no image can be used, the memory is too little, or the
            sink can be written by one process alone.
        ChildProcessError: a worker was lost; start again.
    """
    runner = runner or ThreadRunner()
    _check_sink(sink, runner)
    job = ExtractionJob(
        make_extractor, sink, batch_size, max_image_pixels, memory_limit
    )
    todo = job.missing(items)
    results, rate = [], 0.0
    if todo:
        size = images_per_shard or _shard_size(len(todo), runner.workers)
        reused = len(items) - len(todo)
        with Progress(len(items), "Extraction", "image", reused) as progress:
            shards = list(_shards(job, todo, size))
            try:
                results = runner.run(extract_shard, shards, progress.advance)
            finally:
                forget_model(job)
            rate = progress.rate
    return _summary(sink, items, len(todo), results, rate)


def _check_sink(sink: FeatureSink, runner: ShardRunner) -> None:
    if not sink.is_shared and not isinstance(runner, ThreadRunner):
        raise InputError(
            "A store is written by one process. Extract into a folder, and "
            "make a store of it by tools/convert_features.py; or leave out "
            "--num_workers and --runner."
        )


def _shard_size(images: int, workers: int) -> int:
    if workers > 1:
        images = -(-images // (_SHARDS_OF_A_WORKER * workers))
    return min(images, _LARGEST_SHARD)


def _shards(
    job: ExtractionJob, items: Sequence[ImageItem], size: int
) -> Iterator[ExtractionShard]:
    """Cuts the images into parts."""
    for begin in range(0, len(items), size):
        part = [
            # For workers with another working directory.
            dataclasses.replace(
                item, path=pathlib.Path(os.path.abspath(item.path))
            )
            for item in items[begin : begin + size]
        ]
        yield ExtractionShard(job, part)


def _summary(
    sink: FeatureSink,
    items: Sequence[ImageItem],
    todo: int,
    results: Sequence[ShardSummary],
    rate: float,
) -> ExtractionSummary:
    """Puts the results of all shards together, and lists what was skipped."""
    skipped = sorted(one for result in results for one in result.skipped)
    write_skipped(sink.skipped_path, skipped)
    if items and len(skipped) == len(items):
        raise InputError(
            f"None of the {len(items)} images could be used; the first is "
            f"{items[0].path}: {dict(skipped)[items[0].name]}"
        )
    return ExtractionSummary(
        # A shard that was run again passed over what it had done before.
        extracted=todo - len(skipped),
        empty=sum(result.empty for result in results),
        reused=len(items) - todo,
        skipped=skipped,
        images_per_second=rate,
    )
