"""Images that int8 measures its ranges on."""

import numpy as np
from absl import logging
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.common.progress import Progress
from delg_tf.data.decoder import EXTENSIONS, UnreadableImageError, read_image

# The whole pyramid is computed of each one; larger ones take their time.
_MAX_SIDE = 321


def calibration_images(
    directory: PathLike, number: int, seed: int = 0
) -> list[np.ndarray]:
    """Some images of a folder and its subfolders, made smaller.

    Args:
        directory: the folder.
        number: of images, at most.
        seed: of the choice.

    Returns:
        uint8 `[H, W, 3]`, RGB, the longer side 321 pixels at most.

    Raises:
        InputError: the folder is missing, or none of its images is readable.
    """
    folder = existing_directory(directory, "folder of images")
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS
    )
    images = []
    with Progress(min(number, len(paths)), "Images", "image") as progress:
        for place in np.random.default_rng(seed).permutation(len(paths)):
            if len(images) == number:
                break
            try:
                image = read_image(paths[place]).image
            except UnreadableImageError as error:
                logging.warning("Skipped %s: %s", paths[place], error)
                continue
            image.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.LANCZOS)
            images.append(np.asarray(image))
            progress.advance()
    if not images:
        raise InputError(f"There is no readable image in {folder}.")
    return images
