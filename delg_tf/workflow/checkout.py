"""The checkout of the repository, where the commands run."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import delg_tf
from delg_tf.common.errors import InputError


@contextlib.contextmanager
def in_checkout() -> Iterator[pathlib.Path]:
    """Makes the repository's folder the working directory, for a block.

    Yields:
        The folder.

    Raises:
        InputError: the package is not in a checkout.
    """
    root = pathlib.Path(delg_tf.__file__).resolve().parent.parent
    if not (root / "experiments").is_dir():
        raise InputError(
            "This needs a checkout of the repository; beside the package in "
            f"{root} there are no experiments."
        )
    previous = os.getcwd()
    os.chdir(root)
    try:
        yield root
    finally:
        os.chdir(previous)


def as_seen_from(root: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """An absolute path, relative to `root` if it lies in there."""
    return path.relative_to(root) if path.is_relative_to(root) else path
