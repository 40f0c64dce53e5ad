"""Held-out descriptors for TensorBoard's embedding projector."""

import math
import pathlib

import numpy as np
import tensorflow as tf
from tensorboard.plugins import projector
from tensorboard.plugins.projector import metadata

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.files import PathLike
from delg_tf.data.pipeline import image_ids
from delg_tf.training.input_errors import input_errors
from delg_tf.training.retrieval_validation import HeldOut
from delg_tf.training.summaries import FOLDER

# The projector takes no larger sprite, in pixels.
_LARGEST_SPRITE = 8192
# Whole blocks of a JPEG, so that neighbours do not show.
_THUMBNAIL = 64
_JPEG_QUALITY = 90
_TENSOR, _LABELS, _SPRITE = "descriptors.tsv", "labels.tsv", "sprite.jpg"


class Projector:
    """Writes what the projector shows: points, their labels and pictures.

    It is written for the best network only: what is shown is then what
    `<logdir>/best` computes, and few runs reach a new best at every
    validation. Pictures and labels stay the same and are made once.

    The folder is that of TensorBoard's assets within `train_logs`, where it is
    found whether TensorBoard is started on the run or on a folder of runs.

    Args:
        logdir: the run's directory.
        held_out: the images.
    """

    def __init__(self, logdir: PathLike, held_out: HeldOut):
        self._folder = pathlib.Path(
            logdir, FOLDER, metadata.PLUGINS_DIR, metadata.PLUGIN_ASSETS_NAME
        )
        self._held_out = held_out
        self._sprite: bytes | None = None
        self._ids: list[str] = []
        self._side = 0

    def write(
        self, step: int, descriptors: np.ndarray, labels: np.ndarray
    ) -> None:
        """Puts descriptors in the place of those of an earlier step.

        Args:
            step: training step of the network.
            descriptors: float32 `[N, D]` of `held_out`.
            labels: int `[N]`.

        Raises:
            InputError: an image cannot be read, or the folder is another's.
        """
        if self._sprite is None:
            self._read_images(len(labels))
        with atomic_directory(
            self._folder, metadata.PROJECTOR_FILENAME, overwrite=True
        ) as folder:
            # Text, though larger: the plugin takes for binary what is not
            # UTF-8. Nine digits are float32's.
            np.savetxt(
                folder / _TENSOR, descriptors, fmt="%.9g", delimiter="\t"
            )
            lines = label_lines(labels, self._ids)
            (folder / _LABELS).write_text("\n".join(lines) + "\n", "utf-8")
            (folder / _SPRITE).write_bytes(self._sprite)
            projector.visualize_embeddings(folder, self._config(step))

    def _read_images(self, count: int) -> None:
        records = self._held_out.records
        with input_errors(records):
            ids = image_ids(records.pipeline, records.index).take(count)
            self._ids = [
                i.decode("utf-8", "replace") for i in ids.as_numpy_iterator()
            ]
            self._side = thumbnail_side(count)
            self._sprite = make_sprite(
                self._held_out.images(), count, self._side
            )

    def _config(self, step: int) -> projector.ProjectorConfig:
        config = projector.ProjectorConfig()
        embedding = config.embeddings.add()
        # A name of its own, because TensorBoard keeps tensors by name.
        embedding.tensor_name = f"held-out descriptors, step {step}"
        embedding.tensor_path = _TENSOR
        embedding.metadata_path = _LABELS
        embedding.sprite.image_path = _SPRITE
        embedding.sprite.single_image_dim.extend([self._side] * 2)
        return config


def label_lines(labels: np.ndarray, ids: list[str]) -> list[str]:
    """Makes the lines of the table that names the points.

    Args:
        labels: int `[N]`.
        ids: the images', `[N]`; empty for those that have none.

    Returns:
        A column of labels without a header, as the projector wants a single
        column; if there are ids, a second one and a header.
    """
    if not any(ids):
        return [str(label) for label in labels]
    clean = [" ".join(i.split()) for i in ids]
    rows = [f"{label}\t{i}" for label, i in zip(labels, clean, strict=True)]
    return ["label\timage", *rows]


def thumbnail_side(count: int) -> int:
    """Side in pixels at which so many thumbnails fit into a sprite."""
    return min(_THUMBNAIL, _LARGEST_SPRITE // _columns(count))


def make_sprite(images: tf.data.Dataset, count: int, side: int) -> bytes:
    """Puts thumbnails row by row into one picture.

    Args:
        images: `count` pairs of an image, float32 `[size, size, 3]`,
            normalised, and anything.
        count: how many; at least 1.
        side: of a thumbnail, in pixels.

    Returns:
        A JPEG, as wide as high up to an empty rest of rows.
    """
    columns = _columns(count)
    rows = math.ceil(count / columns)
    tiles = np.zeros([rows * columns, side, side, 3], np.uint8)
    small = images.map(lambda image, _: _thumbnail(image, side))
    for i, tile in enumerate(small.take(count).as_numpy_iterator()):
        tiles[i] = tile
    grid = tiles.reshape(rows, columns, side, side, 3).swapaxes(1, 2)
    picture = grid.reshape(rows * side, columns * side, 3)
    return tf.io.encode_jpeg(
        picture, quality=_JPEG_QUALITY, chroma_downsampling=False
    ).numpy()


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _thumbnail(image: tf.Tensor, side: int) -> tf.Tensor:
    small = tf.image.resize(image, [side, side], method="area")
    return tf.cast(
        tf.round(tf.clip_by_value(small * 128 + 128, 0, 255)), tf.uint8
    )
