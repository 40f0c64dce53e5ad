"""Datum files: one numeric array, or a pair of them, as a protobuf message.

The rules for types are those of the official DELF package (datum_io.py):
floating point is stored as 32-bit floats, unsigned integers as 32-bit
unsigned integers, nothing else is stored.
"""

import math
import pathlib
from typing import TypeVar

import numpy as np
from google.protobuf import message as protobuf_message

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.protos import datum_pb2

Message = TypeVar("Message", bound=protobuf_message.Message)

_FLOATS = (np.float16, np.float32, np.float64)
_UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)


def array_to_datum(array: np.ndarray) -> datum_pb2.DatumProto:
    """Makes a message of an array.

    Args:
        array: any shape; float16, float32 or float64 (stored as float32),
            or an unsigned integer type (stored as uint32).

    Returns:
        The message, values in row-major order.

    Raises:
        ValueError: another type, or an integer beyond 32 bits.
    """
    array = np.asarray(array)
    datum = datum_pb2.DatumProto()
    datum.shape.SetInParent()
    datum.shape.dim.extend(array.shape)
    # An empty array too says of which kind it is.
    if array.dtype in _FLOATS:
        datum.float_list.SetInParent()
        datum.float_list.MergeFromString(_packed_floats(array))
    elif array.dtype in _UNSIGNED:
        if array.size and array.max() > np.iinfo(np.uint32).max:
            raise ValueError(
                "`array` must fit into 32-bit unsigned integers. Received: "
                f"{array.max()}."
            )
        datum.uint32_list.SetInParent()
        datum.uint32_list.value.extend(array.ravel().tolist())
    else:
        raise ValueError(
            "`array` must be of a floating-point or unsigned integer type. "
            f"Received: {array.dtype}."
        )
    return datum


def _packed_floats(array: np.ndarray) -> bytes:
    """Returns a serialised FloatList: its tag, its length, the numbers.

    Protobuf takes it in at once, and numbers one by one.
    """
    values = array.astype("<f4").tobytes()
    head = bytearray([0x0A])
    # A length is a base-128 number, the lowest seven bits first.
    length = len(values)
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + values


def datum_to_array(
    datum: datum_pb2.DatumProto, source: str = "The datum"
) -> np.ndarray:
    """Returns the array of a message.

    Args:
        datum: the message.
        source: what the message is to the user, for errors.

    Returns:
        A float32 or uint32 array of the stored shape.

    Raises:
        InputError: there are no values, or not as many as the shape says.
    """
    shape = tuple(datum.shape.dim)
    kind = datum.WhichOneof("kind_oneof")
    if kind == "uint32_list":
        array = np.array(datum.uint32_list.value, np.uint32)
    else:
        array = np.array(datum.float_list.value, np.float32)
    if kind is None and math.prod(shape) != 0:
        raise InputError(f"{source} holds no array of numbers.")
    if min(shape, default=0) < 0 or math.prod(shape) != array.size:
        raise InputError(
            f"{source} is damaged: it holds {array.size} values for the "
            f"shape {list(shape)}."
        )
    return array.reshape(shape)


def parse_message(
    message_type: type[Message], data: bytes, source: str
) -> Message:
    """Parses a message that must have at least one field this package knows.

    No bytes at all are the empty message, as protobuf has it.

    Args:
        message_type: the generated class.
        data: the serialised message.
        source: what the data is to the user, for errors.

    Raises:
        InputError: the data is no such message.
    """
    try:
        message = message_type.FromString(data)
    except protobuf_message.DecodeError as error:
        raise InputError(
            f"{source} is damaged or no {message_type.DESCRIPTOR.name} "
            "message. Make it again."
        ) from error
    if data and not message.ListFields():
        raise InputError(
            f"{source} is no {message_type.DESCRIPTOR.name} message."
        )
    return message


def serialize_datum(array: np.ndarray) -> bytes:
    """Returns the bytes of a DatumProto; see `array_to_datum`."""
    return array_to_datum(array).SerializeToString()


def parse_datum(data: bytes, source: str = "The data") -> np.ndarray:
    """Returns the array of a serialised DatumProto.

    Raises:
        InputError: the data is damaged; the message starts with `source`.
    """
    datum = parse_message(datum_pb2.DatumProto, data, source)
    return datum_to_array(datum, source)


def serialize_datum_pair(first: np.ndarray, second: np.ndarray) -> bytes:
    """Returns the bytes of a DatumPairProto; see `array_to_datum`."""
    pair = datum_pb2.DatumPairProto(
        first=array_to_datum(first), second=array_to_datum(second)
    )
    return pair.SerializeToString()


def parse_datum_pair(
    data: bytes, source: str = "The data"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the two arrays of a serialised DatumPairProto.

    Raises:
        InputError: the data is damaged; the message starts with `source`.
    """
    pair = parse_message(datum_pb2.DatumPairProto, data, source)
    return (
        datum_to_array(pair.first, f"{source} (first array)"),
        datum_to_array(pair.second, f"{source} (second array)"),
    )


def write_datum(path: files.PathLike, array: np.ndarray) -> None:
    """Writes an array to a datum file, atomically; replaces what is there."""
    write_bytes(path, serialize_datum(array))


def read_datum(path: files.PathLike) -> np.ndarray:
    """Reads a datum file.

    Raises:
        InputError: the file is missing or damaged.
    """
    return parse_datum(read_bytes(path), str(path))


def write_datum_pair(
    path: files.PathLike, first: np.ndarray, second: np.ndarray
) -> None:
    """Writes two arrays to a file, atomically; replaces what is there."""
    write_bytes(path, serialize_datum_pair(first, second))


def read_datum_pair(path: files.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Reads a file with two arrays.

    Raises:
        InputError: the file is missing or damaged.
    """
    return parse_datum_pair(read_bytes(path), str(path))


def write_bytes(path: files.PathLike, data: bytes) -> None:
    """Writes a file that is complete or absent; replaces what is there."""
    with files.atomic_write(path) as file:
        file.write(data)


def read_bytes(path: files.PathLike) -> bytes:
    """Reads a whole file.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    files.existing_file(path)
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
