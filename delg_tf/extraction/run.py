"""Extraction of many images into feature files."""

import collections
import concurrent.futures
import csv
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, atomic_write
from delg_tf.common.progress import Progress
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
        reused: images whose files were there.
        skipped: (name, reason) of images that could not be read.
        images_per_second: of this run; 0 if nothing was to be done.
    """

    extracted: int
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
) -> ExtractionSummary:
    """Extracts images into feature files.

    Global descriptors go to `.delg_global` files, local features to those of
    `local_suffix`.

    Images whose files are all there are passed over, so a run that was cut
    off goes on. Unreadable images are left out and listed in
    `skipped_images.csv` of the output folder.

    Args:
        config: what to extract.
        items: the images.
        output_dir: folder of the feature files, created if missing.
        make_extractor: loads the model; called only if there is work.
        local_suffix: extension of the files of local features.

    Returns:
        What was done.

    Raises:
        InputError: the model is missing or unfit, or no image is readable.
    """
    output = pathlib.Path(output_dir)
    suffixes = _suffixes(config, local_suffix)
    todo = [
        item
        for item in items
        if not all((output / f"{item.name}{s}").exists() for s in suffixes)
    ]
    skipped: list[tuple[str, str]] = []
    rate = 0.0
    if todo:
        extractor = make_extractor(config)
        with Progress(
            len(items), "Extraction", "image", done=len(items) - len(todo)
        ) as progress:
            for item, image in _load_ahead(todo):
                if isinstance(image, UnreadableImageError):
                    logging.warning("Skipped %s: %s", item.path, image)
                    skipped.append((item.name, str(image)))
                else:
                    features = extractor.extract(image)
                    _write(output / item.name, features, local_suffix)
                progress.advance()
            rate = progress.rate
    _report_skipped(output, skipped)
    if items and len(skipped) == len(items):
        raise InputError(
            f"None of the {len(items)} images could be read; the first is "
            f"{items[0].path}: {skipped[0][1]}"
        )
    return ExtractionSummary(
        len(todo) - len(skipped), len(items) - len(todo), skipped, rate
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
    items: Sequence[ImageItem],
) -> Iterator[tuple[ImageItem, LoadedImage | UnreadableImageError]]:
    """Loads images in order, a few ahead of the one that is yielded."""

    def load(item: ImageItem) -> LoadedImage | UnreadableImageError:
        try:
            return load_image(item.path, item.box)
        except UnreadableImageError as error:
            return error

    pending: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_READ_AHEAD) as pool:
        for item in items:
            pending.append((item, pool.submit(load, item)))
            if len(pending) > _READ_AHEAD:
                ready, future = pending.popleft()
                yield ready, future.result()
        for ready, future in pending:
            yield ready, future.result()


def _write(
    stem: pathlib.Path, features: ImageFeatures, local_suffix: str
) -> None:
    """Writes an image's files, named `stem` and an extension."""
    if features.global_descriptor is not None:
        write_global_descriptor(
            f"{stem}{GLOBAL_SUFFIX}", features.global_descriptor
        )
    if features.local is not None:
        write_local_features(f"{stem}{local_suffix}", features.local)


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
        writer.writerows(skipped)
