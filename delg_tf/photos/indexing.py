"""Photographs in a folder to an index that knows them."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from absl import logging
from google.protobuf import text_format

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.extraction.config import with_absolute_paths
from delg_tf.extraction.identity import extraction_identity
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.run import MakeExtractor, extract_images
from delg_tf.features.storage.skipped import SKIPPED_FILE
from delg_tf.photos.collection import photos_in_folder
from delg_tf.photos.index_sink import FileStates, IndexSink, OpenWriter
from delg_tf.protos import delf_config_pb2
from delg_tf.retrieval.index.base import ImageIndex, IndexWriter
from delg_tf.retrieval.index.choice import (
    create_index,
    file_beside,
    index_exists,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.editing import set_metadata
from delg_tf.retrieval.index.metadata_csv import read_metadata_csv
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.vectors.options import VectorOptions


@dataclasses.dataclass(frozen=True)
class IndexingOptions:
    """How photographs are indexed.

    Attributes:
        config: what is extracted; None: as the index says.
        vectors: how global descriptors are stored in a new index; None: as
            float32.
        local_format: how local features are stored in a new index; None: they
            are not, and nothing can be verified geometrically.
        prefix: put before all names, for collections with equal names.
        metadata_csv: CSV file whose columns are added to the photographs'
            own, see `read_metadata_csv`; None: none.
        prune: whether photographs of this folder whose files are gone are
            removed.
        batch_size: images that go through the network together, at most.
        max_image_pixels: larger images are left out.
        memory_limit: bytes that extraction may take; None: no limit.
    """

    config: delf_config_pb2.DelfConfig | None = None
    vectors: VectorOptions | None = None
    local_format: str | None = "binary"
    prefix: str = ""
    metadata_csv: PathLike | None = None
    prune: bool = False
    batch_size: int = 1
    max_image_pixels: int = MAX_PIXELS
    memory_limit: int | None = None


@dataclasses.dataclass(frozen=True)
class IndexingSummary:
    """What a run did.

    Attributes:
        added: photographs that are new.
        updated: photographs whose files had changed.
        unchanged: photographs that were there.
        removed: photographs whose files were gone.
        skipped: (name, reason) of those that could not be used.
        total: photographs in the index.
        images_per_second: of the extraction; 0 if nothing was to be done.
    """

    added: int
    updated: int
    unchanged: int
    removed: int
    skipped: Sequence[tuple[str, str]]
    total: int
    images_per_second: float


def index_photos(
    directory: PathLike,
    place: PathLike,
    options: IndexingOptions,
    make_extractor: MakeExtractor,
) -> IndexingSummary:
    """Extracts photographs into an index, which is made if there is none.

    Photographs that the index has, and whose files are as they were, are
    passed over; a run that was cut off goes on.

    Args:
        directory: the collection's folder.
        place: of the index.
        options: how.
        make_extractor: loads the model; called only if there is work.

    Raises:
        InputError: there are no photographs or none can be used, there is no
            configuration, or the index is of another model.
    """
    directory = existing_directory(directory, "folder of photographs")
    _check_kind(options.vectors)
    table = None
    if options.metadata_csv is not None:
        table = read_metadata_csv(options.metadata_csv)
    items = photos_in_folder(directory, options.prefix)
    index = open_index(place) if index_exists(place) else None
    # (An index without images is there, but false.)
    made = options if index is None else index.settings
    config = with_absolute_paths(
        config_for(index, options.config, made.local_format is not None)
    )
    known = {} if index is None else _file_states(index)
    sink = IndexSink(
        items,
        directory,
        known,
        _opener(place, index, config, options),
        pathlib.Path(f"{file_beside(place)}.{SKIPPED_FILE}"),
        extraction_identity(config),
    )
    with sink:
        done = extract_images(
            config,
            items,
            sink,
            make_extractor,
            batch_size=options.batch_size,
            max_image_pixels=options.max_image_pixels,
            memory_limit=options.memory_limit,
        )
    if not index_exists(place):
        raise InputError(
            f"None of the photographs in {directory} is large enough to have "
            "a descriptor; there is no index."
        )
    removed = 0
    if options.prune or table is not None:
        with open_writer(place) as writer:
            if options.prune:
                removed = _prune(writer, known, items, options.prefix)
            if table is not None:
                set_metadata(writer, table)
    return IndexingSummary(
        added=sink.added,
        updated=sink.updated,
        unchanged=done.reused,
        removed=removed,
        skipped=done.skipped,
        total=len(open_index(place)),
        images_per_second=done.images_per_second,
    )


def _check_kind(vectors: VectorOptions | None) -> None:
    if vectors is not None and vectors.needs_training:
        raise InputError(
            f"--kind={vectors.kind} has to be trained on many images before "
            "it takes any: extract them by tools/extract_features.py, and "
            "build the index by tools/build_index.py."
        )


def config_for(
    index: ImageIndex | None,
    given: delf_config_pb2.DelfConfig | None,
    with_local: bool,
) -> delf_config_pb2.DelfConfig:
    """Returns how photographs are extracted, global descriptors always.

    Args:
        index: see `extraction_config`.
        given: see `extraction_config`; left as it is.
        with_local: whether local features are extracted.

    Raises:
        InputError: neither says it.
    """
    config = delf_config_pb2.DelfConfig()
    config.CopyFrom(extraction_config(index, given))
    config.use_global_features = True
    config.use_local_features = with_local
    return config


def extraction_config(
    index: ImageIndex | None, given: delf_config_pb2.DelfConfig | None
) -> delf_config_pb2.DelfConfig:
    """Returns how photographs are extracted for an index.

    Args:
        index: the index, or None if it is yet to be made.
        given: what the user says, or None.

    Raises:
        InputError: neither says it.
    """
    if given is not None:
        return given
    if index is None or not index.settings.extraction:
        where = "" if index is None else f"; {index.place} does not say it"
        raise InputError(
            "An extraction configuration is needed: pass --delf_config_path"
            f"{where}."
        )
    config = delf_config_pb2.DelfConfig()
    try:
        text_format.Parse(index.settings.extraction, config)
    except text_format.ParseError as error:
        raise InputError(
            f"{index.place}: its extraction configuration is damaged: {error}. "
            "Pass --delf_config_path."
        ) from error
    return config


def _opener(
    place: PathLike,
    index: ImageIndex | None,
    config: delf_config_pb2.DelfConfig,
    options: IndexingOptions,
) -> OpenWriter:
    """Returns what opens the index, and makes it if need be."""
    model = extraction_identity(config)
    if index is not None:
        index.settings.check_model(model, "The photographs' features")

    def open_or_create(dimension: int) -> IndexWriter:
        if index is None:
            settings = IndexSettings(
                dimension=dimension,
                vectors=options.vectors or VectorOptions(),
                local_format=options.local_format,
                model=model,
                extraction=text_format.MessageToString(config),
            )
            create_index(place, settings)
        return open_writer(place)

    return open_or_create


def _file_states(index: ImageIndex) -> FileStates:
    """Returns size and time of the files of all photographs, by name."""
    if not {"bytes", "modified"} <= set(index.metadata_schema.names):
        return {}
    table = index.metadata_table(["bytes", "modified"])
    columns = (table[name].to_pylist() for name in ("bytes", "modified"))
    return dict(zip(index.names, zip(*columns)))


def _prune(
    writer: IndexWriter,
    known: Mapping[str, tuple[int, int]],
    items: Sequence[ImageItem],
    prefix: str,
) -> int:
    """Removes photographs of the collection whose files are gone."""
    gone = set(known) - {item.name for item in items}
    gone = sorted(name for name in gone if name.startswith(prefix))
    if gone:
        logging.info("Removing %d photographs, first %s.", len(gone), gone[0])
        writer.remove(gone)
    return len(gone)
