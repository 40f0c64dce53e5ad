"""From feature files or a store to an index."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import IndexWriter
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    index_exists,
    open_index,
    open_writer,
    replaced_index,
)
from delg_tf.retrieval.index.metadata_csv import MetadataTable
from delg_tf.retrieval.index.names import check_names
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.search import all_empty
from delg_tf.retrieval.vectors.options import VectorOptions

# Descriptors that are held at a time, and images with local features.
_BATCH_BYTES = 64 << 20
_LOCAL_IMAGES = 256
# Images that a killed import loses at most.
COMMIT_IMAGES = 50_000
# Descriptors that a kind which must learn is given.
_TRAINING_IMAGES = 50_000


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """How features get into an index.

    Attributes:
        vectors: kind of a new index; None: the default, or the index's.
        local_format: of local features in a new index; None: none, or as the
            index keeps them.
        metadata: of images; None for none.
        overwrite: replaces an older index once the new one is complete.
        add: adds images to an index; those that are there stay.
        replace: with `add`: those that are there are replaced.
    """

    vectors: VectorOptions | None = None
    local_format: str | None = None
    metadata: MetadataTable | None = None
    overwrite: bool = False
    add: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if self.overwrite and self.add:
            raise InputError("Pass --overwrite or --add, not both.")
        if self.replace and not self.add:
            raise InputError("--replace needs --add.")


@dataclasses.dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Attributes:
        added: images added or replaced.
        there: images that were there and stayed.
        skipped: (name, reason) of damaged images.
    """

    added: int
    there: int
    skipped: list[tuple[str, str]]


def import_features(
    place: PathLike,
    store: FeatureStore,
    names: Sequence[str] | None = None,
    options: ImportOptions | None = None,
) -> ImportSummary:
    """Adds images of a place of features to an index, made if missing.

    Damaged images are left out and returned. An import that was killed goes
    on with `add`; it has lost `COMMIT_IMAGES` at most.

    Args:
        place: of the index.
        store: the features.
        names: the images; None for all that have a global descriptor.
        options: how.

    Raises:
        InputError: images have no features, or all are damaged or too small,
            there is an index already, or it is of another kind or model.
    """
    options = options or ImportOptions()
    exists = index_exists(place)
    if exists and not (options.overwrite or options.add):
        raise InputError(
            f"{place} exists already. Choose another place, or pass --add to "
            "add to it or to go on, or --overwrite."
        )
    names = store.list_names() if names is None else list(names)
    check_names(names)
    store.require_global(names)
    if not exists:
        create_index(place, _settings(store, names, options))
    elif options.overwrite:
        settings = _settings(store, names, options)
        with replaced_index(place, settings) as new_place:
            return _import(new_place, store, names, options)
    else:
        _check_options(open_index(place).settings, options, place)
    return _import(place, store, names, options)


def _settings(
    store: FeatureStore, names: Sequence[str], options: ImportOptions
) -> IndexSettings:
    dimension = next(
        (vector.size for vector in _sound_descriptors(store, names)), None
    )
    if dimension is None:
        # Tells what is wrong, if they are damaged rather than empty.
        store.global_descriptors(names)
        raise all_empty(store, len(names))
    return IndexSettings(
        dimension,
        options.vectors or VectorOptions(),
        options.local_format,
        store.source.model,
        str(store.directory.absolute()),
    )


def _sound_descriptors(
    store: FeatureStore, names: Sequence[str]
) -> Iterator[np.ndarray]:
    """Yields descriptors that can be read and are not empty."""
    for name in names:
        descriptors, _ = store.readable_descriptors([name])
        if descriptors.any():
            yield descriptors[0]


def _check_options(
    settings: IndexSettings, options: ImportOptions, place: PathLike
) -> None:
    for what, wanted, found in (
        ("descriptors", options.vectors, settings.vectors),
        ("local features", options.local_format, settings.local_format),
    ):
        if wanted not in (None, found):
            raise InputError(
                f"The index {place} keeps {what} as {found or 'none'}; "
                f"{wanted} is asked for. Leave the flag out, or build another "
                "index."
            )


def _import(
    place: PathLike,
    store: FeatureStore,
    names: Sequence[str],
    options: ImportOptions,
) -> ImportSummary:
    with open_writer(place) as writer:
        todo = names
        if not options.replace:
            todo = [name for name in names if name not in writer]
        settings = writer.settings
        if settings.local_format is not None:
            store.require_local(todo)
        _train(writer, store, todo)
        skipped = _add_all(writer, store, todo, options)
        if todo and len(skipped) == len(todo):
            raise InputError(
                f"None of the {len(todo)} images could be read; the first: "
                f"{skipped[0][1]}"
            )
    there = len(names) - len(todo)
    return ImportSummary(len(todo) - len(skipped), there, skipped)


def _train(
    writer: IndexWriter, store: FeatureStore, names: Sequence[str]
) -> None:
    """Lets a kind that must learn see images of all of them."""
    if not writer.settings.vectors.needs_training or writer.is_trained:
        return
    count = min(len(names), _TRAINING_IMAGES)
    if count:
        drawn = np.random.default_rng(0).choice(
            len(names), count, replace=False
        )
        sample, _ = store.readable_descriptors(
            [names[i] for i in np.sort(drawn)], writer.settings.dimension
        )
        writer.train(sample)


def _add_all(
    writer: IndexWriter,
    store: FeatureStore,
    names: Sequence[str],
    options: ImportOptions,
) -> list[tuple[str, str]]:
    """Adds images, batch by batch; returns those that are damaged."""
    settings = writer.settings
    size = max(1, _BATCH_BYTES // (4 * settings.dimension))
    if settings.local_format is not None:
        size = min(size, _LOCAL_IMAGES)
    skipped: dict[str, str] = {}
    waiting = 0
    with Progress(len(names), "Indexing", "image") as progress:
        for start in range(0, len(names), size):
            block = names[start : start + size]
            batch, problems = _batch(store, block, settings, options)
            for name, problem in problems.items():
                logging.warning("Skipped %s: %s", name, problem)
            skipped |= problems
            writer.add(batch, options.replace)
            waiting += len(batch)
            if waiting >= COMMIT_IMAGES:
                writer.commit()
                waiting = 0
            progress.advance(len(block))
    return list(skipped.items())


def _batch(
    store: FeatureStore,
    names: Sequence[str],
    settings: IndexSettings,
    options: ImportOptions,
) -> tuple[ImageBatch, dict[str, str]]:
    """Reads images; returns the damaged ones with the reasons, too."""
    descriptors, problems = store.readable_descriptors(
        names, settings.dimension
    )
    local: dict[str, EncodedFeatures] = {}
    if settings.local_format is not None:
        for name in names:
            try:
                local[name] = store.source.read_encoded(name).to_format(
                    settings.local_format
                )
            except InputError as error:
                problems.setdefault(name, str(error))
    sound = [row for row, name in enumerate(names) if name not in problems]
    kept = [names[row] for row in sound]
    batch = ImageBatch(
        kept,
        descriptors[sound],
        [local[name] for name in kept] if local else None,
        options.metadata and options.metadata.of(kept),
        store.source.model,
    )
    return batch, problems
