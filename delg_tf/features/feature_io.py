"""Feature files: `.delf` and `.delg_local`, and `.delg_global`.

The first two are a DelfFeatures message, the third is a DatumProto of shape
[D]; both are the official DELF package's (feature_io.py, datum_io.py).

Re-ranking reads a file of a thousand features for each image of the short
list, so speed matters. All the features that one writer puts into a file
have the same fields in the same order, so the serialised message is a table:
rows of equal length that differ only in their numbers. NumPy reads and
writes such a table at once. A file of another make is left to protobuf.
"""

import functools

import numpy as np
from google.protobuf import message as protobuf_message

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.features import datum_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.protos import feature_pb2

GLOBAL_SUFFIX = ".delg_global"
LOCAL_SUFFIX = ".delg_local"
# The same content, as the official DELF examples name it.
DELF_SUFFIX = ".delf"

# The scalar fields of a DelfFeature by field number.
_SCALARS = ("x", "y", "scale", "orientation", "strength")
# Bytes of a feature's tag and length, at most.
_LONGEST_HEAD = 6


def serialize_local_features(features: LocalFeatures) -> bytes:
    """Returns the bytes of a DelfFeatures message; none for no features."""
    if len(features) == 0:
        return b""
    rows = np.repeat(_row_template(features.depth), len(features))
    rows["descriptor"] = features.descriptors
    rows["y"], rows["x"] = features.locations.T
    rows["scale"] = features.scales
    rows["orientation"] = features.orientations
    rows["strength"] = features.attention
    return rows.tobytes()


def parse_local_features(
    data: bytes, source: str = "The data"
) -> LocalFeatures:
    """Returns the features of a serialised DelfFeatures message.

    Args:
        data: the serialised message; no bytes are no features (of depth 0,
            as the message does not say more).
        source: what the data is to the user, for errors.

    Raises:
        InputError: the data is damaged, the descriptors differ in their
            depth, or a number is not finite.
    """
    if not data:
        return LocalFeatures.empty()
    try:
        rows = _view_rows(data)
        if rows is None:
            return _from_message(data, source)
        return LocalFeatures(
            locations=np.stack([rows["y"], rows["x"]], axis=1),
            descriptors=rows["descriptor"],
            scales=rows["scale"],
            attention=rows["strength"],
            orientations=rows["orientation"],
        )
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{source} is damaged: {error}") from error


def write_local_features(path: files.PathLike, features: LocalFeatures) -> None:
    """Writes a `.delf` or `.delg_local` file; replaces what is there."""
    datum_io.write_bytes(path, serialize_local_features(features))


def read_local_features(path: files.PathLike) -> LocalFeatures:
    """Reads a `.delf` or `.delg_local` file.

    Raises:
        InputError: the file is missing or damaged.
    """
    return parse_local_features(datum_io.read_bytes(path), str(path))


def count_local_features(path: files.PathLike) -> int:
    """Returns how many features a `.delf` or `.delg_local` file has.

    Files whose features are all of one length, as this package's are, are
    counted by their size: only their first and last bytes are read.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = files.existing_file(path)
    size = path.stat().st_size
    if not size:
        return 0
    try:
        with open(path, "rb") as file:
            start = file.read(_LONGEST_HEAD)
            head, row = _first_sizes(start)
            if size % row == 0:
                file.seek(size - row)
                if file.read(head) == start[:head]:
                    return size // row
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return len(read_local_features(path))


def serialize_global_descriptor(descriptor: np.ndarray) -> bytes:
    """Returns the bytes of a DatumProto.

    Args:
        descriptor: [D] of a floating-point type; stored as float32.

    Raises:
        ValueError: another shape or type, or values that are not finite.
    """
    descriptor = np.asarray(descriptor)
    if descriptor.ndim != 1 or descriptor.dtype.kind != "f":
        raise ValueError(
            "`descriptor` must be a vector of floating-point numbers. "
            f"Received: {descriptor.dtype} of shape {descriptor.shape}."
        )
    if not np.isfinite(descriptor).all():
        raise ValueError("`descriptor` must be finite. Received NaN or inf.")
    return datum_io.serialize_datum(descriptor)


def parse_global_descriptor(
    data: bytes, source: str = "The data"
) -> np.ndarray:
    """Returns the [D] float32 vector of a serialised DatumProto.

    Raises:
        InputError: the data is damaged or no vector of finite numbers.
    """
    descriptor = datum_io.parse_datum(data, source)
    if descriptor.ndim != 1 or descriptor.dtype != np.float32:
        raise InputError(
            f"{source} is no global descriptor: it holds {descriptor.dtype} "
            f"numbers of shape {list(descriptor.shape)}."
        )
    if not np.isfinite(descriptor).all():
        raise InputError(f"{source} is damaged: not all numbers are finite.")
    return descriptor


def write_global_descriptor(
    path: files.PathLike, descriptor: np.ndarray
) -> None:
    """Writes a `.delg_global` file, atomically; replaces what is there."""
    datum_io.write_bytes(path, serialize_global_descriptor(descriptor))


def read_global_descriptor(path: files.PathLike) -> np.ndarray:
    """Reads a `.delg_global` file: [D] float32.

    Raises:
        InputError: the file is missing or damaged.
    """
    return parse_global_descriptor(datum_io.read_bytes(path), str(path))


@functools.lru_cache(maxsize=16)
def _row_template(depth: int) -> np.ndarray:
    """Returns a serialised feature of zeros as a structured array of shape [1].

    Protobuf itself writes the row, so its constant bytes (tags and lengths)
    are right by construction. The numbers stand at its end: the descriptor,
    then five tags of a byte with a 32-bit float each.
    """
    message = feature_pb2.DelfFeatures()
    feature = message.feature.add(**dict.fromkeys(_SCALARS, 0.0))
    feature.descriptor.shape.dim.append(depth)
    feature.descriptor.float_list.value.extend([0.0] * depth)
    row = message.SerializeToString()
    head = len(row) - 4 * depth - 5 * len(_SCALARS)
    columns = [("head", "u1", (head,)), ("descriptor", "<f4", (depth,))]
    for name in _SCALARS:
        columns += [(f"{name}_tag", "u1"), (name, "<f4")]
    return np.frombuffer(row, np.dtype(columns))


def _view_rows(data: bytes) -> np.ndarray | None:
    """Views a message as rows of `_row_template`; None if it is not so.

    As every byte that is no number is compared, what is accepted means to
    protobuf what it means here.
    """
    depth = _first_depth(data)
    if not depth:
        return None
    template = _row_template(depth)
    if len(data) % template.itemsize:
        return None
    rows = np.frombuffer(data, template.dtype)
    for name in ("head", *(f"{scalar}_tag" for scalar in _SCALARS)):
        if not (rows[name] == template[name]).all():
            return None
    return rows


def _first_depth(data: bytes) -> int | None:
    """Returns the depth of the first feature's descriptor, or None."""
    first = data[: _first_sizes(data)[1]]
    try:
        message = feature_pb2.DelfFeatures.FromString(first)
    except protobuf_message.DecodeError:
        return None
    if len(message.feature) != 1:
        return None
    return len(message.feature[0].descriptor.float_list.value)


def _first_sizes(data: bytes) -> tuple[int, int]:
    """Returns bytes of the first feature's tag and length, and of it all."""
    # A feature is its tag, its length as a base-128 number with the lowest
    # seven bits first, and as many bytes.
    length = position = 0
    for position, byte in enumerate(data[1:_LONGEST_HEAD]):
        length |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            break
    return 2 + position, 2 + position + length


def _from_message(data: bytes, source: str) -> LocalFeatures:
    """Reads any DelfFeatures message, field by field."""
    message = datum_io.parse_message(feature_pb2.DelfFeatures, data, source)
    descriptors = [
        datum_io.datum_to_array(
            feature.descriptor, f"{source}, descriptor of feature {number}"
        )
        for number, feature in enumerate(message.feature)
    ]
    shapes = {descriptor.shape for descriptor in descriptors}
    if len(shapes) > 1:
        raise InputError(
            f"{source} is damaged: its descriptors have the different shapes "
            f"{sorted(map(list, shapes))}."
        )
    return LocalFeatures(
        locations=[(feature.y, feature.x) for feature in message.feature],
        descriptors=np.stack(descriptors),
        scales=[feature.scale for feature in message.feature],
        attention=[feature.strength for feature in message.feature],
        orientations=[feature.orientation for feature in message.feature],
    )
