"""Records of small photographs whose classes can be learnt."""

import io

import numpy as np
import PIL.Image
import tensorflow as tf

from delg_tf.data.records import encode_example

CLASSES = 4


def photo(label, index, height=48, width=56):
    """A JPEG whose stripes and colour say its class, with some noise."""
    random = np.random.default_rng([label, index])
    rows, columns = np.mgrid[:height, :width]
    along = columns if label % 2 else rows
    stripes = np.sin(along * (0.5 if label < 2 else 1.2) + index)
    colour = np.array([[220, 60, 60], [60, 220, 60], [60, 60, 220], [200] * 3])
    pixels = colour[label] * (0.7 + 0.3 * stripes[..., None])
    pixels = np.clip(pixels + random.normal(0, 6, pixels.shape), 0, 255)
    data = io.BytesIO()
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(
        data, "JPEG", quality=95, subsampling=0
    )
    return data.getvalue()


def write_records(path, first, count, label=None):
    """Writes photos `first` to `first + count`, classes in turn."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(first, first + count):
            of = index % CLASSES if label is None else label
            name = f"{index:016x}".encode()
            writer.write(
                encode_example(photo(index % CLASSES, index), name, 48, 56, of)
            )
