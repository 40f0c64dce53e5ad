"""Packed files: all features of one image in one compact file.

A header of 48 bytes, little endian: magic, version, formats and sizes, the
units of the geometry, a checksum. Then the global descriptor, the codes, and
the table of places: arrays that NumPy views as they lie.
"""

import dataclasses
import struct
import zlib

import numpy as np

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.features import datum_io
from delg_tf.features.compact.descriptors import code_shape
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.formats import GLOBAL_FORMATS, LOCAL_FORMATS
from delg_tf.features.compact.geometry import table_type
from delg_tf.features.compact.image_features import (
    GLOBAL_TYPES,
    CompactImage,
)

PACKED_SUFFIX = ".delg_packed"
MAGIC = b"DELGPACK"
VERSION = 1

# Magic; version; local and global format (255: none); orientations, unused;
# local features, their depth, global dimensions; three units; unused.
_FIELDS = struct.Struct("<8sHBBBxHIIIfffI")
# All of them and what follows the header.
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size
_NONE = 255


@dataclasses.dataclass(frozen=True)
class PackedHeader:
    """What a packed file says about itself.

    Attributes:
        local_format: of local features; None if it has none.
        global_format: of the global descriptor; None if it has none.
        oriented: whether orientations are stored.
        count: number of local features.
        depth: their dimensions.
        dimension: of the global descriptor.
        units: see `Geometry.units`.
    """

    local_format: str | None
    global_format: str | None
    oriented: bool
    count: int
    depth: int
    dimension: int
    units: tuple[float, float, float]

    def sizes(self) -> tuple[int, int, int]:
        """Returns the bytes of global descriptor, codes and places."""
        vector = codes = table = 0
        if self.global_format:
            vector = GLOBAL_TYPES[self.global_format].itemsize * self.dimension
        if self.local_format:
            dtype, shape = code_shape(self.local_format, self.count, self.depth)
            codes = dtype.itemsize * shape[0] * shape[1]
            kind = table_type(self.local_format == "float32", self.oriented)
            table = kind.itemsize * self.count
        return vector, codes, table


def serialize_packed(image: CompactImage) -> bytes:
    """Returns the bytes of a packed file."""
    vector, local = image.global_descriptor, image.local
    body = b""
    if vector is not None:
        body += vector.tobytes()
    if local is not None:
        body += local.codes.tobytes() + local.geometry.table.tobytes()
    fields = _FIELDS.pack(
        MAGIC,
        VERSION,
        _NONE if local is None else LOCAL_FORMATS.index(local.local_format),
        _NONE if vector is None else GLOBAL_FORMATS.index(vector.dtype.name),
        local is not None and local.geometry.is_oriented,
        0,
        0 if local is None else len(local),
        0 if local is None else local.depth,
        0 if vector is None else vector.size,
        *((1.0, 1.0, 1.0) if local is None else local.geometry.units),
        0,
    )
    return fields + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(fields))) + body


def parse_packed(data: bytes, source: str = "The data") -> CompactImage:
    """Views the features in the bytes of a packed file.

    Args:
        data: the whole file; what is returned refers to it.
        source: what the data is to the user, for errors.

    Raises:
        InputError: the data is damaged, or no packed file.
    """
    header = parse_header(data, source)
    body = memoryview(data)[HEADER_BYTES:]
    (checksum,) = _CHECKSUM.unpack_from(data, _FIELDS.size)
    if sum(header.sizes()) != len(body) or checksum != zlib.crc32(
        body, zlib.crc32(data[: _FIELDS.size])
    ):
        raise InputError(f"{source} is damaged. Make it again.")
    after_vector, codes, _ = header.sizes()
    after_codes = after_vector + codes
    vector = local = None
    if header.global_format:
        dtype = GLOBAL_TYPES[header.global_format]
        vector = np.frombuffer(body[:after_vector], dtype)
    if header.local_format:
        local = EncodedFeatures.from_buffers(
            header.local_format,
            header.depth,
            body[after_vector:after_codes],
            body[after_codes:],
            header.oriented,
            header.units,
        )
    return CompactImage(vector, local)


def parse_header(data: bytes, source: str = "The data") -> PackedHeader:
    """Reads the first `HEADER_BYTES` of a packed file.

    Raises:
        InputError: they are no header of a version that is known.
    """
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        raise InputError(f"{source} is damaged or no packed feature file.")
    _, version, local, vector, oriented, _, *numbers, _ = _FIELDS.unpack_from(
        data
    )
    if version != VERSION:
        raise InputError(
            f"{source} is a packed feature file of version {version}; this "
            f"program knows version {VERSION}."
        )
    for value, names in ((local, LOCAL_FORMATS), (vector, GLOBAL_FORMATS)):
        if value != _NONE and value >= len(names):
            raise InputError(f"{source} is damaged. Make it again.")
    return PackedHeader(
        None if local == _NONE else LOCAL_FORMATS[local],
        None if vector == _NONE else GLOBAL_FORMATS[vector],
        bool(oriented),
        *numbers[:3],
        units=tuple(numbers[3:]),
    )


def write_packed(path: files.PathLike, image: CompactImage) -> None:
    """Writes a packed file, atomically; replaces what is there."""
    datum_io.write_bytes(path, serialize_packed(image))


def read_packed(path: files.PathLike) -> CompactImage:
    """Reads a packed file.

    Raises:
        InputError: the file is missing or damaged.
    """
    return parse_packed(datum_io.read_bytes(path), str(path))


def read_packed_local(path: files.PathLike) -> EncodedFeatures:
    """Reads the local features of a packed file.

    Raises:
        InputError: the file is missing or damaged, or has none.
    """
    local = read_packed(path).local
    if local is None:
        raise InputError(f"{path} has no local features.")
    return local


def read_header(path: files.PathLike) -> PackedHeader:
    """Reads what a packed file says about itself.

    Raises:
        InputError: the file is missing or no packed file.
    """
    path = files.existing_file(path)
    try:
        with open(path, "rb") as file:
            return parse_header(file.read(HEADER_BYTES), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
