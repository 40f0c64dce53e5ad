"""Run by test_decoder.py in a process of its own, to measure its memory.

Without TensorFlow, so that the process is small. Prints JSON.
"""

import io
import json
import re
import sys

import hostile_images
import numpy as np

from delg_tf.data import decoder


def peak():
    """Most memory that this process has had, in MiB (Linux)."""
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) / 1024


def decode(data, max_pixels):
    """Returns None for a valid image, or the reason why there is none."""
    try:
        image = decoder.decode_image(io.BytesIO(data), max_pixels).image
    except decoder.UnreadableImageError as error:
        assert str(error)
        return str(error)
    pixels = np.asarray(image)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (image.height, image.width, 3)
    assert 0 < image.width * image.height <= max_pixels
    return None


def main(seed, number):
    max_pixels = 1_000_000
    rng = np.random.default_rng(seed)
    small = hostile_images.small_files()
    for data in small.values():
        assert decode(data, max_pixels) is None
    start = peak()
    reasons = {
        name: decode(data, decoder.MAX_PIXELS)
        for name, data in hostile_images.files().items()
    }
    after_files = peak()
    valid, refused = 0, 0
    for data in small.values():
        for damaged in hostile_images.mutations(data, number, rng):
            reason = decode(damaged, max_pixels)
            valid += reason is None
            refused += reason is not None
    return {
        "reasons": reasons,
        "files_mib": after_files - start,
        "mutations_mib": peak() - after_files,
        "valid": valid,
        "refused": refused,
    }


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
