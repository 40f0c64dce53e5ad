"""Files that are meant to break or to overwhelm whoever decodes them."""

import io
import re
import struct
import zlib

import numpy as np
from PIL import Image
from record_files import encoded, photo


def _png_chunk(name, data):
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def png(header, rows):
    """A PNG of a header (13 bytes) and rows, each with its filter's byte."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(rows))
        + _png_chunk(b"IEND", b"")
    )


def png_of_claimed_size(width, height, rows=b""):
    """A PNG whose header promises so many grey pixels."""
    return png(struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), rows)


def jpeg_of_claimed_size(width, height):
    """A small JPEG whose frame header lies."""
    data = bytearray(encoded(photo(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_of_claimed_size(width, height):
    """A GIF whose screen is small and whose frame is not."""
    data = bytearray(encoded(Image.fromarray(photo()), "GIF"))
    frame = data.index(b",", 13 + 3 * 256)
    data[frame + 5 : frame + 9] = struct.pack("<HH", width, height)
    return bytes(data)


def bmp_of_claimed_size(width, height):
    data = bytearray(encoded(photo(), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def webp_of_claimed_size(width, height):
    """An extended WebP whose canvas is larger than its frame."""
    data = bytearray(encoded(photo(), "WEBP", exif=b"Exif\0\0II*\0\0\0\0\0"))
    assert data[12:16] == b"VP8X"
    for place, side in ((24, width), (27, height)):
        data[place : place + 3] = struct.pack("<I", side - 1)[:3]
    return bytes(data)


def tiff_with_tile(side):
    """A TIFF of 10 x 10 pixels in one tile that is as large as it likes."""
    tile = zlib.compress(bytes(100))
    tags = {
        256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 277: 1,
        322: side, 323: side, 324: 8, 325: len(tile),
    }  # fmt: skip
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()
    )
    start = struct.pack("<I", 8 + len(tile))
    count = struct.pack("<H", len(tags))
    return b"II*\0" + start + tile + count + entries + bytes(4)


def jpeg_with_scans(count, side=64):
    """A progressive JPEG that goes over its pixels again and again."""
    data = encoded(np.zeros((side, side), np.uint8), "JPEG", progressive=True)
    *_, last = re.finditer(b"\xff\xda", data)
    end = data.index(b"\xff\xd9")
    return data[:end] + data[last.start() : end] * count + data[end:]


def files():
    """All of them, none larger than a megabyte: {what it is: bytes}."""
    jpeg, png = encoded(photo(), "JPEG"), encoded(photo(), "PNG")
    return {
        "empty": b"",
        "text": b"hello, world\n" * 40,
        "svg": b'<?xml version="1.0"?><svg width="9" height="9"></svg>',
        "html": b"<!doctype html><title>404 Not Found</title>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "zeros": bytes(5000),
        "cut jpeg": jpeg[:-60],
        "cut png": png[: len(png) // 2],
        "only a header": jpeg[:20],
        "png of 3.6 billion pixels": png_of_claimed_size(60000, 60000),
        "png of 2^62 pixels": png_of_claimed_size(2**31 - 1, 2**31 - 1),
        "png of fewer rows than it says": png_of_claimed_size(
            1000, 1000, b"\0" * 99
        ),
        "jpeg of 4.3 billion pixels": jpeg_of_claimed_size(65500, 65500),
        "jpeg of fewer rows than it says": jpeg_of_claimed_size(1000, 1000),
        "jpeg of no pixels": jpeg_of_claimed_size(0, 0),
        "gif of 4.3 billion pixels": gif_of_claimed_size(65535, 65535),
        "bmp of 4.3 billion pixels": bmp_of_claimed_size(65535, 65535),
        "bmp of a negative width": bmp_of_claimed_size(-40, 24),
        "webp of 268 million pixels": webp_of_claimed_size(16384, 16384),
        "tiff with a tile of 1.6 billion pixels": tiff_with_tile(40000),
        "jpeg with 1,000 scans": jpeg_with_scans(1000),
    }


def mutations(data, number, rng):
    """Random damage to a file: cut, or up to eight other bytes.

    Mostly in its beginning, where headers are.
    """
    for trial in range(number):
        damaged = bytearray(data)
        if trial % 4 == 0:
            yield bytes(damaged[: rng.integers(len(damaged))])
            continue
        for _ in range(rng.integers(1, 9)):
            place = int(len(damaged) * rng.random() ** 3)
            damaged[place] = rng.integers(256)
        yield bytes(damaged)


def small_files():
    """A small sound file of each format and kind of compression."""
    image = Image.fromarray(photo())
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        "jpeg": ("JPEG", {"exif": exif}),
        "progressive jpeg": ("JPEG", {"progressive": True}),
        "png": ("PNG", {"exif": exif}),
        "palette png": ("PNG", {}),
        "webp": ("WEBP", {"exif": exif}),
        "lossless webp": ("WEBP", {"lossless": True}),
        "gif": ("GIF", {}),
        "tiff": ("TIFF", {}),
        "deflated tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
        "lzw tiff": ("TIFF", {"compression": "tiff_lzw"}),
        "jpeg tiff": ("TIFF", {"compression": "jpeg"}),
        "bmp": ("BMP", {}),
        "ppm": ("PPM", {}),
    }
    files = {}
    for name, (file_format, options) in kinds.items():
        source = image.quantize(32) if "palette" in name else image
        buffer = io.BytesIO()
        source.save(buffer, file_format, **options)
        files[name] = buffer.getvalue()
    return files
