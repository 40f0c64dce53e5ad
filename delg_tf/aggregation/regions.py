"""Regions of images: the whole image first, then the detected boxes.

Two kinds, which the official programs and we make differently:

* Features that were extracted from each box on its own, in files of their
  own. A CSV file with the header `name,index_image_id,box_id` says which
  files belong to an image; box -1 is the whole image. So the official
  extract_index_boxes_and_features.py writes them.
* The image's own features, each belonging to every box that it lies in. It
  takes no further extraction, and is an approximation: a box that is
  extracted alone has features of finer scales.

Source: Teichmann et al., "Detect-to-Retrieve: Efficient Regional Aggregation
for Image Search", CVPR 2019.
"""

import csv
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.features.box_io import DetectedBoxes

# Of the official extraction of boxes.
SCORE_THRESHOLD = 0.1
BOXES_SUFFIX = ".boxes"

_HEADER = ["name", "index_image_id", "box_id"]


def regions_of_boxes(
    locations: np.ndarray,
    boxes: DetectedBoxes,
    size: tuple[int, int],
    score_threshold: float = SCORE_THRESHOLD,
) -> list[np.ndarray]:
    """Returns the features in each region, the whole image first.

    A box covers all pixels that it touches, as the official cropping does.

    Args:
        locations: float32 [N, 2], (y, x) in pixels; see `LocalFeatures`.
        boxes: of the image.
        size: (height, width) of the image, in pixels.
        score_threshold: boxes of at least this score are taken.

    Returns:
        int64 arrays of rows, one a region; some may be empty.
    """
    regions = [np.arange(len(locations))]
    # Pixel edges: the first pixel's centre is at 0.
    scale = np.array([*size, *size], np.float64)
    edges = boxes.boxes.astype(np.float64) * scale
    low, high = np.floor(edges[:, :2]) - 0.5, np.ceil(edges[:, 2:]) - 0.5
    for box in np.flatnonzero(boxes.scores >= np.float32(score_threshold)):
        inside = (locations >= low[box]) & (locations < high[box])
        regions.append(np.flatnonzero(inside.all(axis=1)))
    return regions


def read_index_mapping(
    path: PathLike, image_names: Sequence[str]
) -> dict[str, list[str]]:
    """Reads which files of features are those of an image's regions.

    Args:
        path: the CSV file.
        image_names: names of the images, by the ids of the file.

    Returns:
        For each image the names of its files, in the order of the CSV file;
        those of images that it does not list are missing.

    Raises:
        InputError: the file is missing or damaged, or has other ids.
    """
    path = existing_file(path, "index mapping")
    regions: dict[str, list[str]] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or not set(_HEADER) <= set(
                reader.fieldnames
            ):
                raise InputError(
                    f"{path} must begin with the header {','.join(_HEADER)}."
                )
            for row in reader:
                image = _image_of(row, image_names, path, reader.line_num)
                regions.setdefault(image, []).append(row["name"])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file: {error}") from error
    return regions


def _image_of(
    row: dict[str, str | None],
    image_names: Sequence[str],
    path: PathLike,
    line: int,
) -> str:
    number, name = row["index_image_id"] or "", row["name"]
    known = number.isdecimal() and int(number) < len(image_names)
    if not known or not name:
        raise InputError(
            f"{path}, line {line}: `name` must not be empty and "
            f"`index_image_id` must be from 0 to {len(image_names) - 1}, but "
            f"they are {name!r} and {number!r}."
        )
    return image_names[int(number)]
