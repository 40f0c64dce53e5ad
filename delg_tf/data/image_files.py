"""Image files on disk: by identifier, by the folder of their class, by path."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.data import decoder


@dataclasses.dataclass(frozen=True)
class FileTable:
    """Image files below one directory.

    Attributes:
        root: the directory.
        ids: bytes ("S") [N], identifiers.
        paths: bytes ("S") [N], relative to `root`, as the file system has
            them; b"" where there is no file.
        sizes: int64 [N], bytes; 0 where there is no file.
    """

    root: pathlib.Path
    ids: np.ndarray
    paths: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: np.ndarray) -> "FileTable":
        """Returns the files at these positions (int or bool [M])."""
        return FileTable(
            self.root,
            self.ids[positions],
            self.paths[positions],
            self.sizes[positions],
        )


def find_by_id(directory: str | os.PathLike, ids: np.ndarray) -> FileTable:
    """Finds the file of each identifier.

    Looked up in this order: `a/b/c/abc...jpg` (the layout of Google Landmarks
    v2, three folders named by the first three characters), then
    `abc...jpg` in the directory itself; other image formats after .jpg. For
    a directory given in the official way, as a pattern that ends with
    `/*/*/*/`, the part before the stars is searched.

    Args:
        directory: where the images are.
        ids: bytes ("S") [N], file names without extension.

    Returns:
        A table in the order of `ids`; missing files have empty paths.

    Raises:
        InputError: the directory does not exist or may not be read.
    """
    root = files.existing_directory(
        str(directory).rstrip("/*") or "/", "image directory"
    )
    names = [b""] * len(ids)
    sizes = np.zeros(len(ids), np.int64)
    # In sorted order the images of one folder come together, so that each of
    # the 4096 folders is listed once and one listing is held in memory.
    folder, nested, flat = None, {}, None
    for position in np.argsort(ids, kind="stable").tolist():
        identifier = os.fsdecode(ids[position])
        wanted = "/".join(identifier[:3])
        if wanted != folder:
            folder = wanted
            nested = _list_images(root, wanted) if _is_plain(wanted) else {}
        path = nested.get(identifier)
        if path is None:
            flat = _list_images(root, "") if flat is None else flat
            path = flat.get(identifier)
        if path is not None:
            names[position] = os.fsencode(path)
            sizes[position] = os.stat(root / path).st_size
    return FileTable(root, ids, np.array(names, dtype=bytes), sizes)


def _is_plain(folder: str) -> bool:
    return len(folder) == 5 and "." not in folder and "/" not in folder[::2]


def _list_images(root: pathlib.Path, folder: str) -> dict[str, str]:
    """Maps names without extension to paths relative to `root`."""
    rank = {ending: i for i, ending in enumerate(decoder.EXTENSIONS)}
    found: dict[str, tuple[int, str]] = {}
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                stem, ending = os.path.splitext(entry.name)
                order = rank.get(ending.lower())
                if order is None or not entry.is_file():
                    continue
                known = found.get(stem)
                if known is None or (order, entry.name) < known:
                    found[stem] = (order, entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise InputError(f"{root / folder} may not be read.") from error
    prefix = f"{folder}/" if folder else ""
    return {stem: prefix + name for stem, (_, name) in found.items()}


def find_by_class(
    directory: str | os.PathLike,
) -> tuple[FileTable, list[str], np.ndarray, list[str]]:
    """Finds images in folders that are named by their class.

    Everything below `directory/class_name/` belongs to that class, at any
    depth. Hidden files and folders are ignored. An image's identifier is its
    path relative to the directory.

    Args:
        directory: the folder of the class folders.

    Returns:
        The files, in order of path; the class names, sorted, without those
        that hold no image; int64 [N], each file's position in that list; and
        the paths of the files that are no images or in no class folder.

    Raises:
        InputError: there is no such directory or no image in it.
    """
    root = files.existing_directory(directory, "directory of class folders")
    paths, others = [], []
    for path in _walk(root):
        in_class = "/" in path
        ending = os.path.splitext(path)[1].lower()
        usable = (
            in_class
            and ending in decoder.EXTENSIONS
            and os.path.isfile(root / path)
        )
        (paths if usable else others).append(path)
    if not paths:
        raise InputError(
            f"{root} has no images in class folders. They are expected as "
            f"{root}/class_name/any_name.jpg."
        )
    of_path = [path.split("/", 1)[0] for path in paths]
    names = sorted(set(of_path))
    number = {name: i for i, name in enumerate(names)}
    encoded = np.array([os.fsencode(path) for path in paths])
    sizes = np.array([os.stat(root / path).st_size for path in paths])
    labels = np.array([number[name] for name in of_path], np.int64)
    table = FileTable(root, encoded, encoded, sizes.astype(np.int64))
    return table, names, labels, others


def find_by_path(
    root: pathlib.Path, paths: Sequence[str]
) -> tuple[FileTable, np.ndarray]:
    """Finds the files of a list.

    Args:
        root: what relative paths start from.
        paths: [N], relative or absolute. An image's identifier is its path
            as it stands here.

    Returns:
        The files that exist, in the order of `paths`, and bool [N], which
        ones these are.
    """
    exists = np.array([os.path.isfile(root / path) for path in paths], bool)
    found = [paths[i] for i in np.flatnonzero(exists)]
    encoded = np.array([os.fsencode(path) for path in found], dtype=bytes)
    sizes = [os.stat(root / path).st_size for path in found]
    table = FileTable(root, encoded, encoded, np.array(sizes, np.int64))
    return table, exists


def _walk(root: pathlib.Path) -> Iterator[str]:
    """Yields paths relative to `root`, in a fixed order.

    They are those of everything but folders, and of folders that may not be
    read.
    """
    closed: list[str] = []
    seen: set[str] = set()
    for folder, folders, names in os.walk(
        root,
        onerror=lambda error: closed.append(error.filename),
        followlinks=True,
    ):
        real = os.path.realpath(folder)
        if real in seen:  # A symbolic link back up would never end.
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(_visible(folders))
        relative = pathlib.Path(folder).relative_to(root)
        for name in sorted(_visible(names)):
            yield (relative / name).as_posix()
    for folder in sorted(closed):
        yield pathlib.Path(folder).relative_to(root).as_posix()


def _visible(names: Sequence[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]
