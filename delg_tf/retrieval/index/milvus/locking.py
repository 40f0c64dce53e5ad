"""One writer of an index on Milvus at a time, as far as can be seen to."""

import pathlib

import filelock

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.milvus.place import MilvusPlace
from delg_tf.retrieval.index.settings import IndexSettings


def lock_index(
    place: MilvusPlace, folder: pathlib.Path, settings: IndexSettings
) -> filelock.BaseFileLock | None:
    """Keeps other writers away, where there is a file to do it with.

    Args:
        place: of the index.
        folder: of its local features, if it keeps any.
        settings: of the index.

    Returns:
        What to release; None where nothing can be locked.

    Raises:
        InputError: the index is being written.
    """
    if settings.local_format is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "writer.lock"
    elif place.is_lite:
        path = pathlib.Path(f"{place.uri}.{place.collection}.lock")
    else:
        return None
    lock = filelock.FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(
            f"The index {place.text} is being written by another process. Wait "
            "for it to end."
        ) from None
    return lock
