"""Reads `.safetensors`: a length, a JSON header, and the arrays' bytes.

https://huggingface.co/docs/safetensors
"""

import json
import math

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def read_safetensors(path: PathLike) -> dict[str, np.ndarray]:
    """Returns all arrays by their names; bfloat16 becomes float32.

    Raises:
        InputError: the file is damaged.
    """
    content = existing_file(path).read_bytes()
    try:
        length = int.from_bytes(content[:8], "little")
        if not 2 <= length <= len(content) - 8:
            raise ValueError(f"its header claims {length} bytes")
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        data = memoryview(content)[8 + length :]
        return {
            name: _array(name, entry, data) for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no complete safetensors file: {error}"
        ) from error


def _array(name: str, entry: dict, data: memoryview) -> np.ndarray:
    start, end = entry["data_offsets"]
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{name} has the unknown type {entry['dtype']}")
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    size = math.prod(entry["shape"]) * dtype.itemsize
    if not 0 <= start <= end <= len(data) or end - start != size:
        raise ValueError(f"the bytes of {name} are not where they should be")
    array = np.frombuffer(data[start:end], dtype).reshape(entry["shape"])
    return from_bfloat16(array) if entry["dtype"] == "BF16" else array


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 of bfloat16 numbers given as uint16: their upper halves."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
