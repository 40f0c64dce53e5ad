"""The photographs that synthetic landmarks are cut from."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.data.decoder import EXTENSIONS, UnreadableImageError, read_image

GROUPS = ("train", "validation", "held_out")

# Photographs that ship inside the wheels, by file name. A photograph belongs
# to one group only, so that no region of a held-out one is ever trained on.
# Photographs of textures and instruments are good training landmarks, too,
# but say little about photographs of places; so they are in `train`.
_PACKAGES = {
    "skimage": "data",
    "sklearn": "datasets/images",
}
_BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "train": (
        "skimage/astronaut.png",
        "skimage/brick.png",
        "skimage/camera.png",
        "skimage/cell.png",
        "skimage/clock_motion.png",
        "skimage/grass.png",
        "skimage/gravel.png",
        "skimage/hubble_deep_field.jpg",
        "skimage/ihc.png",
        "skimage/moon.png",
        "skimage/page.png",
        "skimage/retina.jpg",
    ),
    "validation": (
        "skimage/chelsea.png",
        "skimage/coins.png",
        "skimage/rocket.jpg",
        "sklearn/flower.jpg",
    ),
    "held_out": (
        "skimage/coffee.png",
        "skimage/motorcycle_left.png",
        "sklearn/china.jpg",
    ),
}
_FOR_CHECKS = (
    "skimage/coffee.png",
    "skimage/chelsea.png",
    "skimage/rocket.jpg",
)
_MAX_SIDE = 1024
_MIN_SIDE = 128


@dataclasses.dataclass(frozen=True)
class Photograph:
    """A photograph.

    Attributes:
        name: unique name.
        pixels: uint8 `[height, width, 3]`, RGB.
    """

    name: str
    pixels: np.ndarray


def load_photographs(
    directory: PathLike | None = None, seed: int = 0
) -> dict[str, list[Photograph]]:
    """Loads the built-in photographs, and the user's own.

    Args:
        directory: folder of further photographs, searched with its
            subfolders; they are dealt out to the groups in a random order,
            six to `train` for one to `validation` and two to `held_out`.
        seed: of that order.

    Returns:
        For each group of `GROUPS` its photographs.

    Raises:
        InputError: a package is missing, or the folder has no photograph.
    """
    groups = {
        group: [_load_built_in(name) for name in names]
        for group, names in _BUILT_IN.items()
    }
    if directory is not None:
        own = _load_folder(existing_directory(directory, "photo folder"))
        order = np.random.default_rng(seed).permutation(len(own))
        deal = ("train",) * 6 + ("validation",) + ("held_out",) * 2
        for position, index in enumerate(order):
            groups[deal[position % len(deal)]].append(own[index])
    return groups


def check_photographs(sides: Sequence[int]) -> list[np.ndarray]:
    """A few photographs of scikit-image's, to compare programs on.

    Args:
        sides: in pixels; longer side of each one that is wanted.

    Returns:
        uint8 `[height, width, 3]`, RGB, a photograph for each of `sides`.
    """
    pictures = []
    for place, side in enumerate(sides):
        name = _FOR_CHECKS[place % len(_FOR_CHECKS)]
        image = Image.fromarray(_load_built_in(name).pixels)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        pictures.append(np.asarray(image))
    return pictures


def _load_built_in(name: str) -> Photograph:
    package, file = name.split("/")
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise InputError(
            f"The photographs need the Python package that has {package!r}: "
            "pip install 'delg-tf[demo]'"
        )
    folder = pathlib.Path(spec.origin).parent / _PACKAGES[package]
    return Photograph(pathlib.Path(file).stem, _read(folder / file))


def _load_folder(directory: pathlib.Path) -> list[Photograph]:
    photographs = []
    paths = sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in EXTENSIONS
    )
    for path in paths:
        name = f"own/{path.relative_to(directory).as_posix()}"
        try:
            pixels = _read(path)
        except UnreadableImageError as error:
            logging.warning("Skipped %s: %s", path, error)
            continue
        photographs.append(Photograph(name, pixels))
    if not photographs:
        raise InputError(f"There is no readable photograph in {directory}.")
    return photographs


def _read(path: pathlib.Path) -> np.ndarray:
    """Reads a photograph as RGB, its longer side 1024 pixels at most."""
    image = read_image(path).image
    image.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    if min(pixels.shape[:2]) < _MIN_SIDE:
        raise UnreadableImageError(
            f"its sides must be {_MIN_SIDE} pixels at least, they are "
            f"{pixels.shape[1]} x {pixels.shape[0]}"
        )
    return pixels
