"""Copying features from one place to another, in another format."""

import dataclasses

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, readable
from delg_tf.common.progress import Progress
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.foreign.options import ForeignOptions
from delg_tf.features.storage.base import FeatureSink, FeatureSource
from delg_tf.features.storage.choice import open_sink, open_source
from delg_tf.features.storage.skipped import write_skipped


@dataclasses.dataclass(frozen=True)
class ConversionSummary:
    """What a conversion did.

    Attributes:
        converted: images copied in this run.
        reused: images that were there.
        skipped: (name, reason) of damaged images.
    """

    converted: int
    reused: int
    skipped: list[tuple[str, str]]


def convert_features(
    source_path: PathLike,
    output_path: PathLike,
    output_kind: str,
    local_format: str | None = None,
    global_format: str | None = None,
    foreign: ForeignOptions | None = None,
) -> ConversionSummary:
    """Copies all images of one place to another.

    Images that are at the output already stay as they are, so a conversion
    that was cut off goes on. Damaged images are left out and listed in
    `skipped_images.csv` beside or in the output.

    Args:
        source_path: a place that `open_source` opens.
        output_path: folder, or file of a store.
        output_kind: one of `OUTPUT_KINDS`.
        local_format: of packed files and stores; None: the source's.
        global_format: likewise.
        foreign: of a source of another program: how it is to be understood.

    Returns:
        What was done.

    Raises:
        InputError: the source has no features, or none that can be read, the
            output is of another format, or features do not fit it.
    """
    source = open_source(source_path, foreign)
    names = source.names()
    if not names:
        raise InputError(f"{source_path} has no features.")
    info = _output_info(source, names, local_format, global_format)
    with open_sink(output_path, output_kind, info) as sink:
        return _copy(source, names, sink)


def _output_info(
    source: FeatureSource,
    names: list[str],
    local_format: str | None,
    global_format: str | None,
) -> StoreInfo:
    """Returns the formats of the output; None for what the source lacks."""
    found = source.formats(names)
    return StoreInfo(
        found[0] and (local_format or found[0]),
        found[1] and (global_format or found[1]),
        source.model,
    )


def _copy(
    source: FeatureSource, names: list[str], sink: FeatureSink
) -> ConversionSummary:
    todo = [name for name in names if not sink.contains(name)]
    skipped = []
    done = len(names) - len(todo)
    with Progress(len(names), "Conversion", "image", done) as progress:
        for name in todo:
            try:
                vector = local = None
                if source.has(name, "global"):
                    vector = source.read_global(name)
                if source.has(name, "local"):
                    local = source.read_encoded(name)
            except InputError as error:
                logging.warning("Skipped %s: %s", readable(name), error)
                skipped.append((name, str(error)))
            else:
                _write(sink, name, vector, local)
            progress.advance()
    sink.flush()
    write_skipped(sink.skipped_path, skipped)
    if len(skipped) == len(names):
        raise InputError(
            f"None of the {len(names)} images could be read; the first: "
            f"{skipped[0][1]}"
        )
    return ConversionSummary(len(todo) - len(skipped), done, skipped)


def _write(
    sink: FeatureSink,
    name: str,
    vector: np.ndarray | None,
    local: EncodedFeatures | None,
) -> None:
    try:
        sink.write(name, vector, local)
    except InputError as error:
        raise InputError(f"{readable(name)}: {error}") from error
