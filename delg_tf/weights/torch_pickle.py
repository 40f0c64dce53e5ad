"""Reads `.pth` files without PyTorch and without running what is in them.

Both layouts of `torch.save`: a zip archive with a pickle and a file for each
storage (since PyTorch 1.6), and the older row of pickles followed by the
storages. The unpickler makes tensors and dictionaries and refuses all else, so
that a file from anywhere cannot execute code.
"""

import collections
import dataclasses
import pickle
import struct
import zipfile
from typing import IO, Any

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.weights.safetensors import from_bfloat16

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_CONTAINERS = ("state_dict", "model_state_dict", "model")


@dataclasses.dataclass
class _Storage:
    """A row of numbers that tensors are views of."""

    dtype: str
    numbers: np.ndarray | None = None

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype("<u2" if self.dtype == "bfloat16" else self.dtype)


@dataclasses.dataclass
class _Tensor:
    """A view of a storage; made an array once the numbers are read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        numbers = self.storage.numbers
        if numbers is None:
            raise ValueError("a tensor has no storage")
        last = self.offset + sum(
            (size - 1) * stride
            for size, stride in zip(self.shape, self.strides)
        )
        if min((*self.shape, *self.strides, self.offset, 0)) < 0:
            raise ValueError("a tensor has a negative size")
        if 0 not in self.shape and last >= len(numbers):
            raise ValueError("a tensor reaches beyond its storage")
        view = np.lib.stride_tricks.as_strided(
            numbers[self.offset :],
            self.shape,
            [stride * numbers.itemsize for stride in self.strides],
        )
        view = view.copy()
        if self.storage.dtype == "bfloat16":
            return from_bfloat16(view)
        return view


def _rebuild_tensor(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: object,
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data: _Tensor, *_: object) -> _Tensor:
    return data


class _Unpickler(pickle.Unpickler):
    """Knows the names that a state dictionary needs, and no others."""

    _ALLOWED = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    }

    def __init__(self, file: IO[bytes], storages: dict[str, _Storage]):
        super().__init__(file, encoding="latin1")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) in self._ALLOWED:
            return self._ALLOWED[module, name]
        raise pickle.UnpicklingError(
            f"it needs {module}.{name}, which a plain state_dict does not; "
            "save model.state_dict() and give that file"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage" or (len(pid) > 5 and pid[5] is not None):
            raise pickle.UnpicklingError("it has storages of an unknown kind")
        return self._storages.setdefault(str(key), _Storage(dtype))


def read_torch(path: PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays of a state dictionary.

    Args:
        path: written by `torch.save`. The dictionary may lie under
            "state_dict" or "model", as training scripts put it.

    Raises:
        InputError: the file is damaged, or holds other objects.
    """
    path = existing_file(path)
    try:
        if zipfile.is_zipfile(path):
            content = _read_zip(path)
        else:
            content = _read_legacy(path)
        return _arrays(content)
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, struct.error),
        *(ValueError, TypeError, KeyError, IndexError, AttributeError),
    ) as error:
        raise InputError(
            f"{path} cannot be read as a PyTorch state_dict: {error}"
        ) from error


def _arrays(content: Any) -> dict[str, np.ndarray]:
    for name in _CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise ValueError("it holds no dictionary")
    return {
        name: value.array()
        for name, value in content.items()
        if isinstance(value, _Tensor)
    }


def _read_zip(path: PathLike) -> Any:
    with zipfile.ZipFile(path) as archive:
        pickles = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("the archive has no data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = folder + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        storages = {}
        with archive.open(pickles[0]) as file:
            content = _Unpickler(file, storages).load()
        for key, storage in storages.items():
            storage.numbers = np.frombuffer(
                archive.read(f"{folder}data/{key}"), storage.numpy_dtype
            )
    return content


def _read_legacy(path: PathLike) -> Any:
    with open(path, "rb") as file:
        storages = {}

        def load() -> Any:
            return _Unpickler(file, storages).load()

        if load() != _LEGACY_MAGIC:
            raise ValueError("it starts with another magic number")
        load()  # Version of the protocol.
        if not load().get("little_endian", True):
            raise ValueError("its numbers are big-endian")
        content = load()
        for key in load():
            storage = storages[str(key)]
            (count,) = struct.unpack("<q", file.read(8))
            size = count * storage.numpy_dtype.itemsize
            data = file.read(size)
            if count < 0 or len(data) != size:
                raise ValueError("it is cut off")
            storage.numbers = np.frombuffer(data, storage.numpy_dtype)
    return content
