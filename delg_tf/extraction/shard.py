"""A part of the images, extracted by one process."""

import dataclasses
import threading
import uuid
from collections.abc import Sequence

from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.extraction.feature_writer import FeatureWriter
from delg_tf.extraction.image_extractor import (
    ImageExtractor,
    MakeImageExtractor,
)
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.images import UnreadableImageError
from delg_tf.extraction.memory import MemoryPlan, plan_memory
from delg_tf.extraction.read_ahead import Loaded, loaded_batches
from delg_tf.features.storage.base import FeatureSink
from delg_tf.parallel.base import Advance


@dataclasses.dataclass(frozen=True)
class ExtractionJob:
    """What is done with every image of a run.

    Attributes:
        make_extractor: loads the model.
        sink: where features are written.
        batch_size: images of one size that go through the network together,
            at most.
        max_image_pixels: larger images are left out.
        memory_limit: bytes that a process may take; None: no limit.
        name: of this run; a process keeps the model for it.
    """

    make_extractor: MakeImageExtractor
    sink: FeatureSink
    batch_size: int = 1
    max_image_pixels: int = MAX_PIXELS
    memory_limit: int | None = None
    name: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    def missing(self, items: Sequence[ImageItem]) -> list[ImageItem]:
        """Returns the images whose features are not there."""
        return [item for item in items if not self.sink.contains(item.name)]


@dataclasses.dataclass(frozen=True)
class ExtractionShard:
    """A part of the images of a run.

    Attributes:
        job: what is done with them.
        items: the images.
    """

    job: ExtractionJob
    items: Sequence[ImageItem]


@dataclasses.dataclass(frozen=True)
class ShardSummary:
    """What became of a shard.

    Attributes:
        empty: images that are too small to have features.
        skipped: (name, reason) of images that could not be used.
    """

    empty: int
    skipped: list[tuple[str, str]]


class _KeptModel:
    """The model of the run that this process works for, and its memory.

    The memory is divided once, when the model has just been loaded: later,
    what the network keeps for its next images would count as taken.
    """

    def __init__(self) -> None:
        # One shard uses all that a process has.
        self.lock = threading.Lock()
        self._name: str | None = None
        self._held: tuple[ImageExtractor, MemoryPlan] | None = None

    def get(self, job: ExtractionJob) -> tuple[ImageExtractor, MemoryPlan]:
        if self._name != job.name:
            # The memory of the last one is free before the next is loaded.
            self._name = self._held = None
            extractor = job.make_extractor()
            self._held = extractor, _plan(job, extractor)
            self._name = job.name
        return self._held

    def drop(self, job: ExtractionJob) -> None:
        if self._name == job.name:
            self._name = self._held = None


_kept = _KeptModel()


def extract_shard(shard: ExtractionShard, advance: Advance) -> ShardSummary:
    """Extracts the images of a shard whose features are not there.

    Args:
        shard: the images.
        advance: called with the number of images done.

    Raises:
        InputError: the model is missing or unfit, or the memory is too
            little.
    """
    job = shard.job
    with _kept.lock:
        missing = job.missing(shard.items)
        if len(missing) < len(shard.items):
            advance(len(shard.items) - len(missing))
        if not missing:
            return ShardSummary(0, [])
        extractor, plan = _kept.get(job)
        writer = FeatureWriter(job.sink)
        with writer:
            for group in loaded_batches(missing, extractor, plan):
                _extract(extractor, group, writer)
                advance(len(group))
    return ShardSummary(writer.empty, writer.skipped)


def forget_model(job: ExtractionJob) -> None:
    """Frees the model of a run in this process, if it is there."""
    _kept.drop(job)


def _plan(job: ExtractionJob, extractor: ImageExtractor) -> MemoryPlan:
    return plan_memory(
        job.memory_limit,
        extractor.bytes_per_pixel,
        job.batch_size,
        job.max_image_pixels,
        extractor.max_image_size,
    )


def _extract(
    extractor: ImageExtractor, group: Sequence[Loaded], writer: FeatureWriter
) -> None:
    """Extracts a group of one size."""
    if isinstance(group[0][1], UnreadableImageError):
        for item, error in group:
            writer.skip(item, error)
        return
    try:
        found = extractor.extract_batch([image for _, image in group])
    except UnreadableImageError as error:
        # Too much for the memory together, and perhaps alone.
        if len(group) == 1:
            writer.skip(group[0][0], error)
        else:
            for one in group:
                _extract(extractor, [one], writer)
        return
    for (item, _), features in zip(group, found):
        writer.write(item, features)
