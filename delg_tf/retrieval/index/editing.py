"""Changes of an index that its tool makes."""

from collections.abc import Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.retrieval.index.base import IndexWriter, Where
from delg_tf.retrieval.index.choice import open_index
from delg_tf.retrieval.index.metadata_csv import MetadataTable


def remove_images(
    place: PathLike,
    writer: IndexWriter,
    names: Sequence[str] | None,
    where: Where,
) -> int:
    """Removes images, and commits.

    Args:
        place: of the index.
        writer: of the index, with nothing to commit.
        names: the images; None: those that pass the filter.
        where: the filter.

    Returns:
        How many there were.

    Raises:
        InputError: images are not in the index, or the filter is wrong.
    """
    if names is None:
        index = open_index(place)
        names = [index.names[i] for i in index.matching(where).tolist()]
    writer.remove(names)
    writer.commit()
    return len(names)


def set_metadata(writer: IndexWriter, table: MetadataTable) -> tuple[int, int]:
    """Sets columns of the images that are in index and table, and commits.

    Returns:
        How many there were, and how many of the table are not in the index.

    Raises:
        InputError: there are none, or columns have other types than before.
    """
    names = [name for name in table.names if name in writer]
    if not names:
        raise InputError(
            "None of the names in the CSV file is in the index; it has names "
            f"such as {table.names[:1]}."
        )
    writer.set_metadata(names, table.of(names))
    writer.commit()
    return len(names), len(table.names) - len(names)
