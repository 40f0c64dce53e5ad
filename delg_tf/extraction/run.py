"""Extraction of many images into feature files."""

import collections
import concurrent.futures
import csv
import dataclasses
import errno
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, atomic_write, readable
from delg_tf.common.progress import Progress
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.extraction.extractor import Extractor, ImageFeatures
from delg_tf.extraction.feature_io import (
    GLOBAL_SUFFIX,
    LOCAL_SUFFIX,
    write_global_descriptor,
    write_local_features,
)
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.images import (
    LoadedImage,
    UnreadableImageError,
    load_image,
)
from delg_tf.protos import delf_config_pb2

SKIPPED_FILE = "skipped_images.csv"
# Images decoded ahead of the network.
_READ_AHEAD = 4


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
    output_dir: PathLike,
    make_extractor: Callable[[delf_config_pb2.DelfConfig], Extractor] = (
        Extractor
    ),
    local_suffix: str = LOCAL_SUFFIX,
    max_image_pixels: int = MAX_PIXELS,
) -> ExtractionSummary:
    """Extracts images into feature files.

    Global descriptors go to `.delg_global` files, local features to those of
    `local_suffix`.

    Images whose files are all there are passed over, so a run that was cut
    off goes on. Images that cannot be used are left out and listed, with the
    reason, in `skipped_images.csv` of the output folder. Images that are too
    small to have features get files that say so.

    Args:
        config: what to extract.
        items: the images.
        output_dir: folder of the feature files, created if missing.
        make_extractor: loads the model; called only if there is work.
        local_suffix: extension of the files of local features.
        max_image_pixels: larger images are left out.

    Returns:
        What was done.

    Raises:
        InputError: the model is missing or unfit, or no image can be used.
    """
    output = pathlib.Path(output_dir)
    suffixes = _suffixes(config, local_suffix)
    todo = [
        item
        for item in items
        # Unlike pathlib's, it takes any name.
        if not all(os.path.exists(output / f"{item.name}{s}") for s in suffixes)
    ]
    skipped: list[tuple[str, str]] = []
    empty, rate = 0, 0.0
    if todo:
        extractor = make_extractor(config)
        with Progress(
            len(items), "Extraction", "image", done=len(items) - len(todo)
        ) as progress:
            for item, load in _load_ahead(todo, max_image_pixels):
                try:
                    features = extractor.extract(load())
                    _write(f"{output / item.name}", features, local_suffix)
                    empty += features.is_empty
                except UnreadableImageError as error:
                    logging.warning("Skipped %s: %s", item.path, error)
                    skipped.append((item.name, str(error)))
                progress.advance()
            rate = progress.rate
    _report_skipped(output, skipped)
    if items and len(skipped) == len(items):
        raise InputError(
            f"None of the {len(items)} images could be used; the first is "
            f"{items[0].path}: {skipped[0][1]}"
        )
    return ExtractionSummary(
        extracted=len(todo) - len(skipped),
        empty=empty,
        reused=len(items) - len(todo),
        skipped=skipped,
        images_per_second=rate,
    )


def _suffixes(
    config: delf_config_pb2.DelfConfig, local_suffix: str
) -> list[str]:
    """Returns the extensions of an image's files."""
    suffixes = []
    if config.use_global_features:
        suffixes.append(GLOBAL_SUFFIX)
    if config.use_local_features:
        suffixes.append(local_suffix)
    return suffixes


def _load_ahead(
    items: Sequence[ImageItem], max_pixels: int
) -> Iterator[tuple[ImageItem, Callable[[], LoadedImage]]]:
    """Loads images in order, a few ahead of the one that is yielded.

    Yields:
        What gives the image, or raises what `load_image` raised.
    """
    pending: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_READ_AHEAD) as pool:
        for item in items:
            future = pool.submit(load_image, item.path, item.box, max_pixels)
            pending.append((item, future.result))
            if len(pending) > _READ_AHEAD:
                yield pending.popleft()
        yield from pending


def _write(stem: str, features: ImageFeatures, local_suffix: str) -> None:
    """Writes an image's files, named `stem` and an extension.

    Raises:
        UnreadableImageError: these names would be too long.
    """
    try:
        if features.global_descriptor is not None:
            write_global_descriptor(
                f"{stem}{GLOBAL_SUFFIX}", features.global_descriptor
            )
        if features.local is not None:
            write_local_features(f"{stem}{local_suffix}", features.local)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UnreadableImageError(
            "its name is too long for names of feature files; rename it"
        ) from error


def _report_skipped(
    output: pathlib.Path, skipped: list[tuple[str, str]]
) -> None:
    path = output / SKIPPED_FILE
    if not skipped:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "reason"])
        writer.writerows((readable(name), reason) for name, reason in skipped)
