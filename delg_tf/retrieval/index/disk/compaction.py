"""Merging segments, and dropping what was removed."""

import pathlib

import numpy as np

from delg_tf.common.progress import Progress
from delg_tf.retrieval.index.disk.manifest import Manifest, SegmentRecord
from delg_tf.retrieval.index.disk.segment import Segment
from delg_tf.retrieval.index.disk.segment_writer import SegmentWriter
from delg_tf.retrieval.index.disk.snapshot import Snapshot
from delg_tf.retrieval.index.metadata import conformed

# More segments than these are merged at a commit, the smaller, later ones;
# and all are if more than this share of the rows is removed.
MAX_SEGMENTS = 16
MAX_DELETED = 0.3
# Rows that are copied at a time, by what they take.
_BLOCK_BYTES = 64 << 20
# Of an image with local features.
_LOCAL_BYTES = 1 << 19


def first_to_merge(manifest: Manifest) -> int:
    """Returns the first of the segments to merge by the rule above.

    It and all behind it are to be merged; their number if none is. So many
    small commits cost each image few copies: a segment is copied again only
    when what is behind it has become half as large.
    """
    segments = manifest.segments
    if manifest.num_deleted > MAX_DELETED * manifest.num_rows:
        return 0
    first = len(segments)
    if first <= MAX_SEGMENTS:
        return first
    behind = 0
    # The last one is always merged, however large the commits are.
    while first and (not behind or segments[first - 1].images <= 2 * behind):
        first -= 1
        behind += segments[first].images
    return min(first, len(segments) - 2)


def is_compact(manifest: Manifest) -> bool:
    """Whether there is one segment at most, and nothing to drop."""
    return len(manifest.segments) <= 1 and not manifest.num_deleted


def merged(
    index: pathlib.Path, snapshot: Snapshot, first: int
) -> tuple[tuple[SegmentRecord, ...], np.ndarray]:
    """Writes the segments from `first` on as one, without what was removed.

    Args:
        index: the folder.
        snapshot: the current state.
        first: number of the first segment that is merged.

    Returns:
        segments: of the next state.
        deleted: int64, rows in them that are still removed.
    """
    manifest = snapshot.manifest
    start = snapshot.starts[first]
    deleted = np.flatnonzero(~snapshot.alive[:start])
    segments = manifest.segments[:first]
    if not snapshot.alive[start:].any():
        return segments, deleted
    trained = manifest.trained and index / manifest.trained.path
    folder = f"{manifest.generation_folder}/segment"
    writer = SegmentWriter(index, folder, manifest.settings)
    try:
        count = int(snapshot.alive[start:].sum())
        with Progress(count, "Merging", "image") as progress:
            for number in range(first, len(snapshot.segments)):
                segment = snapshot.segments[number]
                place = snapshot.starts[number]
                alive = snapshot.alive[place : place + len(segment)]
                rows = np.flatnonzero(alive)
                _copy(segment, rows, writer, snapshot, progress)
        return (*segments, writer.finish(trained)), deleted
    finally:
        writer.close()


def _copy(
    segment: Segment,
    rows: np.ndarray,
    writer: SegmentWriter,
    snapshot: Snapshot,
    progress: Progress,
) -> None:
    settings = snapshot.manifest.settings
    image_bytes = 4 * settings.dimension
    if settings.local_format is not None:
        image_bytes += _LOCAL_BYTES
    size = max(1, _BLOCK_BYTES // image_bytes)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        local = metadata = None
        if settings.local_format is not None:
            local = [segment.local(row) for row in block.tolist()]
        if len(snapshot.schema):
            # All columns, so that none goes with the last image that had it.
            if segment.metadata is not None:
                metadata = segment.metadata.take(block)
            metadata = conformed(metadata, snapshot.schema, len(block))
        writer.append(
            [segment.names[row] for row in block.tolist()],
            segment.descriptors(block),
            local,
            metadata,
        )
        progress.advance(len(block))
