"""Folders of several files that are complete or absent."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike


@contextlib.contextmanager
def atomic_directory(
    path: PathLike, marker: str, overwrite: bool = False
) -> Iterator[pathlib.Path]:
    """Fills a temporary folder that becomes `path` if the block succeeds.

    Args:
        path: the folder to write; its parents are created.
        marker: a file that every such folder has. A folder without it is
            somebody else's and is never replaced.
        overwrite: whether an older folder of the same kind is replaced.

    Yields:
        The temporary folder, beside `path`.

    Raises:
        InputError: `path` is taken.
    """
    path = pathlib.Path(os.path.abspath(path))
    _check_free(path, marker, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(
        tempfile.mkdtemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".partial"
        )
    )
    try:
        new, old = temporary / "new", temporary / "old"
        # mkdtemp makes folders private; mkdir follows the umask.
        new.mkdir()
        yield new
        _check_free(path, marker, overwrite)
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_free(path: pathlib.Path, marker: str, overwrite: bool) -> None:
    if path.is_dir():
        if (path / marker).is_file():
            if not overwrite:
                raise InputError(
                    f"{path} exists already. Choose another place, remove "
                    "it, or pass --overwrite."
                )
        elif any(path.iterdir()):
            raise InputError(
                f"{path} is a folder with other content (no {marker}). "
                "Choose another place."
            )
    elif path.exists():
        raise InputError(f"{path} is no folder. Choose another place.")
