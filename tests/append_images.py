"""Appends images to a store until somebody kills it; started by a test."""

import sys

import numpy as np
from feature_files import unit_features

from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.compact.store_writer import ArrowStoreWriter

IMAGES_A_BATCH = 8


def image_of(number):
    """The features of an image, by its number."""
    features = unit_features(400, seed=number % 16)
    vector = np.full(64, number, np.float32)
    return CompactImage.make(vector, features, "float32")


def main():
    path = sys.argv[1]
    images = [image_of(number) for number in range(16)]
    with ArrowStoreWriter.open_or_create(path, StoreInfo("float32")) as writer:
        print("open", len(writer), flush=True)
        while True:
            first = len(writer)
            batch = []
            for number in range(first, first + IMAGES_A_BATCH):
                vector = np.full(64, number, np.float32)
                local = images[number % 16].local
                batch.append((f"{number}", CompactImage(vector, local)))
            writer.append(batch)
            print("done", len(writer), flush=True)


if __name__ == "__main__":
    main()
