"""Extraction of many images into feature files."""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.extraction.batching import batches
from delg_tf.extraction.extractor import Extractor, PreparedImage
from delg_tf.extraction.feature_io import LOCAL_SUFFIX
from delg_tf.extraction.feature_writer import FeatureWriter
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.images import (
    UnreadableImageError,
    load_image,
)
from delg_tf.extraction.storage.base import FeatureSink
from delg_tf.extraction.storage.folder import OfficialFiles
from delg_tf.extraction.storage.skipped import write_skipped
from delg_tf.protos import delf_config_pb2

# Images decoded at a time.
_READERS = 4
# So many times a batch may wait for others of its size.
_WAITING = 8

_Loaded = tuple[ImageItem, PreparedImage | UnreadableImageError]


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


def extract_images(
    config: delf_config_pb2.DelfConfig,
    items: Sequence[ImageItem],
    output: PathLike | FeatureSink,
    make_extractor: Callable[[delf_config_pb2.DelfConfig], Extractor] = (
        Extractor
    ),
    local_suffix: str = LOCAL_SUFFIX,
    batch_size: int = 1,
    max_image_pixels: int = MAX_PIXELS,
) -> ExtractionSummary:
    """Extracts images into feature files or a store.

    Images whose features are there are passed over, so a run that was cut
    off goes on. Images that cannot be used are left out and listed, with the
    reason, in `skipped_images.csv` of the output folder. Images that are too
    small to have features get files that say so.

    Args:
        config: what to extract.
        items: the images.
        output: folder of official feature files, created if missing; or any
            sink, which stays open.
        make_extractor: loads the model; called only if there is work.
        local_suffix: extension of official files of local features.
        batch_size: images of one size that go through the network together,
            at most.
        max_image_pixels: larger images are left out.

    Returns:
        What was done.

    Raises:
        InputError: the model is missing or unfit, or no image can be used.
    """
    sink = output
    if not isinstance(sink, FeatureSink):
        sink = OfficialFiles(
            output,
            config.use_global_features,
            config.use_local_features,
            local_suffix,
        )
    todo = [item for item in items if not sink.contains(item.name)]
    writer = FeatureWriter(sink)
    rate = 0.0
    if todo:
        extractor = make_extractor(config)
        loaded = _load_ahead(todo, extractor, 2 * batch_size, max_image_pixels)
        waiting = _WAITING * batch_size
        with (
            Progress(
                len(items), "Extraction", "image", done=len(items) - len(todo)
            ) as progress,
            writer,
        ):
            for group in batches(loaded, _size, batch_size, waiting):
                _extract(extractor, group, writer)
                progress.advance(len(group))
            rate = progress.rate
    skipped = sorted(writer.skipped)
    write_skipped(sink.skipped_path, skipped)
    if items and len(skipped) == len(items):
        raise InputError(
            f"None of the {len(items)} images could be used; the first is "
            f"{items[0].path}: {dict(skipped)[items[0].name]}"
        )
    return ExtractionSummary(
        extracted=len(todo) - len(skipped),
        empty=writer.empty,
        reused=len(items) - len(todo),
        skipped=skipped,
        images_per_second=rate,
    )


def _load_ahead(
    items: Sequence[ImageItem],
    extractor: Extractor,
    ahead: int,
    max_pixels: int,
) -> Iterator[_Loaded]:
    """Loads images in order, a few ahead of the one that is yielded."""

    def load(item: ImageItem) -> PreparedImage | UnreadableImageError:
        try:
            image = load_image(item.path, item.box, max_pixels)
            return extractor.prepare(image)
        except UnreadableImageError as error:
            return error

    pending: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
        for item in items:
            pending.append((item, pool.submit(load, item)))
            if len(pending) > ahead:
                ready, future = pending.popleft()
                yield ready, future.result()
        for ready, future in pending:
            yield ready, future.result()


def _size(loaded: _Loaded) -> tuple[int, int]:
    """What images that go through the network together have in common."""
    image = loaded[1]
    readable = isinstance(image, PreparedImage)
    return image.pixels.shape[:2] if readable else (0, 0)


def _extract(
    extractor: Extractor, group: Sequence[_Loaded], writer: FeatureWriter
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
