"""Photographs in folders: their names, and what their files tell."""

import dataclasses
import datetime
import os
import pathlib

from PIL import ExifTags, Image

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, readable
from delg_tf.extraction.image_list import ImageItem, images_in_folder


@dataclasses.dataclass(frozen=True)
class PhotoFacts:
    """What a file tells without being decoded; columns of an index.

    Attributes:
        path: absolute, as text.
        folder: of the file, relative to the collection, "" at its top.
        bytes: size of the file.
        modified: nanoseconds since 1970; with `bytes` it tells whether the
            file has changed.
        taken: local time of the camera, ISO 8601, or None.
        latitude: degrees north, or None.
        longitude: degrees east, or None.
    """

    path: str
    folder: str
    bytes: int
    modified: int
    taken: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def photos_in_folder(directory: PathLike, prefix: str = "") -> list[ImageItem]:
    """All photographs of a folder and its subfolders, by name.

    A photograph's name is its path in the folder, with its ending.

    Args:
        directory: the folder.
        prefix: put before all names, for collections with equal names.

    Raises:
        InputError: there is no folder, or no image in it.
    """
    items = images_in_folder(directory, keep_endings=True)
    for item in items:
        if len(item.name.splitlines()) != 1 or item.name != item.name.strip():
            raise InputError(
                f"{readable(item.name)!r} cannot be the name of a photograph: "
                "it has line breaks, or blanks around. Rename the file."
            )
    return [
        dataclasses.replace(item, name=prefix + item.name) for item in items
    ]


def file_state(path: pathlib.Path) -> tuple[int, int] | None:
    """Returns (bytes, modified) of a file; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def photo_facts(item: ImageItem, directory: PathLike) -> PhotoFacts:
    """Reads what a photograph's file tells.

    What is damaged in a header counts as missing.

    Args:
        item: the photograph; `path` lies in `directory`.
        directory: the collection's folder.
    """
    size, modified = file_state(item.path) or (0, 0)
    folder = os.path.relpath(item.path.parent, directory)
    return PhotoFacts(
        path=readable(os.path.abspath(item.path)),
        folder="" if folder == "." else readable(folder),
        bytes=size,
        modified=modified,
        **_camera_facts(item.path),
    )


def _camera_facts(path: pathlib.Path) -> dict[str, str | float]:
    """Returns `taken`, `latitude` and `longitude`, as far as Exif has them."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            inner = exif.get_ifd(ExifTags.IFD.Exif)
            place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    # Pillow raises errors of many kinds for damaged headers.
    except Exception:
        return {}
    text = inner.get(ExifTags.Base.DateTimeOriginal)
    facts: dict[str, str | float] = {}
    try:
        taken = datetime.datetime.strptime(str(text), "%Y:%m:%d %H:%M:%S")
        facts["taken"] = taken.isoformat()
    except ValueError:
        pass
    latitude = _degrees(place, "Latitude", 90)
    longitude = _degrees(place, "Longitude", 180)
    # (0, 0) is what cameras without a fix write.
    if None not in (latitude, longitude) and (latitude or longitude):
        facts.update(latitude=latitude, longitude=longitude)
    return facts


def _degrees(place: dict, name: str, largest: float) -> float | None:
    try:
        parts = [float(x) for x in place[ExifTags.GPS[f"GPS{name}"]]]
        degrees = sum(x / 60**i for i, x in enumerate(parts))
        direction = str(place.get(ExifTags.GPS[f"GPS{name}Ref"], ""))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not 0 <= degrees <= largest:
        return None
    return -degrees if direction[:1].upper() in ("S", "W") else degrees
