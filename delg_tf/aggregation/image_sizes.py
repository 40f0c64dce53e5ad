"""Sizes of images, which boxes relative to them need."""

from collections.abc import Callable

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.data.decoder import UnreadableImageError, read_image
from delg_tf.extraction.image_list import images_in_folder


def sizes_in_folder(images_dir: PathLike) -> Callable[[str], tuple[int, int]]:
    """Returns a function from an image's name to its (height, width).

    Images are decoded as extraction sees them, upright. The function raises
    InputError for an image that is not there or cannot be decoded.

    Args:
        images_dir: the folder, searched with its subfolders.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    paths = {item.name: item.path for item in images_in_folder(images_dir)}

    def size_of(name: str) -> tuple[int, int]:
        if name not in paths:
            raise InputError(f"{images_dir} has no image of {name}.")
        try:
            image = read_image(paths[name]).image
        except UnreadableImageError as error:
            raise InputError(f"{paths[name]} {error}") from error
        return image.height, image.width

    return size_of
