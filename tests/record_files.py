"""Image files and records for the tests of data sets."""

import io
import os
import pathlib

import numpy as np
from PIL import Image


def photo(height=24, width=40):
    """A smooth picture without symmetry, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 255 / height, x * 255 / width, 0 * x + 90], -1).astype(
        np.uint8
    )


def encoded(image, file_format, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def store(directory, name, data, nested=True, ending=".jpg"):
    folder = directory.joinpath(*name[:3]) if nested else directory
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (name + ending)).write_bytes(data)


def read_records(directory, split="train", labelled=True):
    """Records of a split: [(file name, id, label, encoded)]."""
    # Here, as those who want images only need no TensorFlow.
    import tensorflow as tf

    from delg_tf.data import records

    found = []
    pattern = str(pathlib.Path(directory) / f"{split}*")
    for path in records.find_record_files(pattern):
        for record in tf.data.TFRecordDataset(path):
            example = records.parse_example(record, labelled)
            label = example.get("image/class/label", tf.constant(-1))
            found.append(
                (
                    os.path.basename(path),
                    example["image/id"].numpy().decode(),
                    int(label),
                    example["image/encoded"].numpy(),
                )
            )
    return found
