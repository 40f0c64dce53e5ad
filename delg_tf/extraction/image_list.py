"""Which images are to be extracted."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    existing_directory,
    existing_file,
)
from delg_tf.data.decoder import EXTENSIONS
from delg_tf.data.revisited import load_ground_truth


@dataclasses.dataclass(frozen=True)
class ImageItem:
    """An image to be extracted.

    Attributes:
        name: of its feature files, without extension; may have folders.
        path: the image file.
        box: part to use, (x1, y1, x2, y2), or None.
    """

    name: str
    path: pathlib.Path
    box: tuple[float, float, float, float] | None = None


def images_in_folder(
    directory: PathLike, keep_endings: bool = False
) -> list[ImageItem]:
    """All images of a folder and its subfolders, by name.

    They are told by their ending. Broken links, pipes and the like are part of
    it, and so are folders that may not be read: extraction reports them.

    Args:
        directory: the folder.
        keep_endings: whether endings are part of the names.

    Raises:
        InputError: there is no folder, no image in it, or two images that
            differ in their extension only (unless it is part of the name).
    """
    directory = existing_directory(directory, "image folder")
    paths = sorted(_walk(directory))
    if not paths:
        raise InputError(f"There are no images in {directory}.")
    names = [path.relative_to(directory) for path in paths]
    return _unique(
        ImageItem(str(name) if keep_endings else _without_ending(name), path)
        for name, path in zip(names, paths)
    )


def _walk(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    closed: list[str] = []
    for folder, _, names in os.walk(
        directory, onerror=lambda error: closed.append(error.filename)
    ):
        for name in names:
            if os.path.splitext(name)[1].lower() in EXTENSIONS:
                yield pathlib.Path(folder, name)
    yield from map(pathlib.Path, closed)


def _without_ending(path: pathlib.Path) -> str:
    # Unlike `with_suffix` it leaves "..jpg" alone, which would become ".".
    return os.path.splitext(path)[0]


def images_in_list(
    list_path: PathLike, directory: PathLike | None = None
) -> list[ImageItem]:
    """The images that a text file lists, one path a line.

    Args:
        list_path: the text file; empty lines are passed over.
        directory: what relative paths are relative to; None: the working
            directory.

    Raises:
        InputError: the list is missing or empty, or names are not unique.
    """
    path = existing_file(list_path, "image list")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}") from error
    paths = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and not pathlib.Path(line).name:
            raise InputError(f"{path}, line {number}: {line!r} is no file.")
        if line:
            paths.append(pathlib.Path(line))
    if not paths:
        raise InputError(f"The image list {path} is empty.")
    base = pathlib.Path(directory or "")
    return _unique(
        # Files of an absolute path are named by their last part, as the
        # official code names all.
        ImageItem(
            _without_ending(
                pathlib.Path(path.name) if path.is_absolute() else path
            ),
            base / path,
        )
        for path in paths
    )


def images_of_dataset(
    dataset_file_path: PathLike,
    images_dir: PathLike,
    image_set: str,
    crop_queries: bool = True,
) -> list[ImageItem]:
    """Query or index images of a data set in the Revisited format.

    Args:
        dataset_file_path: ground truth, .mat or .pkl.
        images_dir: folder of the `.jpg` files.
        image_set: "query" or "index".
        crop_queries: whether queries are cropped to their box, as the
            protocol demands.

    Raises:
        InputError: the ground truth or the folder is missing or damaged.
    """
    truth = load_ground_truth(dataset_file_path)
    directory = existing_directory(images_dir, "image folder")
    if image_set == "index":
        return [
            ImageItem(name, directory / f"{name}.jpg")
            for name in truth.index_names
        ]
    return [
        ImageItem(
            name,
            directory / f"{name}.jpg",
            query.bbx if crop_queries else None,
        )
        for name, query in zip(truth.query_names, truth.queries)
    ]


def _unique(items: object) -> list[ImageItem]:
    items = list(items)
    seen: dict[str, pathlib.Path] = {}
    for item in items:
        if item.name in seen:
            raise InputError(
                f"{seen[item.name]} and {item.path} would have the same "
                f"feature files, {item.name}.*; rename one."
            )
        if ".." in pathlib.PurePath(item.name).parts:
            raise InputError(
                f"{item.path}: a listed path must not lead upwards ('..'); "
                "list it as an absolute path."
            )
        seen[item.name] = item.path
    return items
