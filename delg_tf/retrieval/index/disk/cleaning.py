"""Removing files that an index does not consist of."""

import contextlib
import os
import pathlib

from delg_tf.retrieval.index.disk.manifest import DATA, Manifest


def clean(index: pathlib.Path, manifest: Manifest) -> None:
    """Removes what earlier states and killed writers have left.

    Readers of an earlier state have its files open. What cannot be removed
    now (Windows: a mapped file) a later writer removes.

    Args:
        index: the folder, whose lock is held.
        manifest: the current state, on the disk.
    """
    kept = {index / file.path for file in manifest.files}
    # Deepest first: folders are empty when their turn comes.
    for folder, _, names in os.walk(index / DATA, topdown=False):
        for name in names:
            path = pathlib.Path(folder, name)
            if path not in kept:
                with contextlib.suppress(OSError):
                    path.unlink()
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    for path in index.glob(".*.partial"):
        with contextlib.suppress(OSError):
            path.unlink()
