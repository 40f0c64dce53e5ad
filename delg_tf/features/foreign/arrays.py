"""Local features from the arrays that other programs write.

The names are those of hloc (Hierarchical-Localization), which D2-Net, R2D2 and
others share: `keypoints`, N rows of x, y and perhaps scale and orientation;
`descriptors`; `scores` [N], and perhaps `scales` [N] and `orientations` [N],
radians. Without scores all are 1, without scales likewise.
"""

from collections.abc import Mapping

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.features.foreign.options import ForeignOptions
from delg_tf.features.local_features import LocalFeatures

KEYPOINTS, DESCRIPTORS = "keypoints", "descriptors"
GLOBAL = "global_descriptor"
_OPTIONAL = ("scores", "scales", "orientations")
LOCAL_NAMES = (KEYPOINTS, DESCRIPTORS, *_OPTIONAL)
# Columns of `keypoints`: x, y, scale, orientation.
_COLUMNS = (2, 3, 4)


def layout_of(arrays: Mapping[str, np.ndarray], source: str) -> str | None:
    """Tells the layout of descriptors by their shape.

    Args:
        arrays: of one image.
        source: what they are to the user, for errors.

    Returns:
        "rows", "columns", or None where both are possible.

    Raises:
        InputError: neither fits the keypoints, or arrays are missing.
    """
    count = len(_keypoints(arrays, source))
    shape = _array(arrays, DESCRIPTORS, source).shape
    if len(shape) != 2 or count not in shape:
        if count == 0 and 0 in shape:
            return "rows"
        raise InputError(
            f"{source}: `descriptors` have the shape {list(shape)}, which is "
            f"neither [N, D] nor [D, N] for {count} keypoints."
        )
    if shape[0] == shape[1]:
        return None
    return "rows" if shape[0] == count else "columns"


def ambiguous(source: str) -> InputError:
    """Returns the error for a layout that shapes do not tell."""
    return InputError(
        f"{source} has as many keypoints as numbers in a descriptor, so "
        "[N, D] cannot be told from [D, N]. Copy the features by "
        "tools/convert_features.py --descriptor_layout=rows (or columns)."
    )


def local_from_arrays(
    arrays: Mapping[str, np.ndarray],
    layout: str,
    options: ForeignOptions,
    source: str,
) -> LocalFeatures:
    """Makes features of arrays.

    Args:
        arrays: of one image, by name.
        layout: of descriptors, "rows" or "columns".
        options: how they are to be understood.
        source: what they are to the user, for errors.

    Raises:
        InputError: arrays are missing, do not fit together, or hold what is
            no finite number.
    """
    keypoints = _keypoints(arrays, source)
    count = len(keypoints)
    descriptors = _array(arrays, DESCRIPTORS, source)
    if count == 0 and 0 in descriptors.shape:
        return LocalFeatures.empty(max(descriptors.shape))
    if layout == "columns":
        descriptors = descriptors.T
    values = {name: np.ones(count) for name in ("scores", "scales")}
    values["orientations"] = np.zeros(count)
    for column, name in ((2, "scales"), (3, "orientations")):
        if keypoints.shape[1] > column:
            values[name] = keypoints[:, column]
    for name in _OPTIONAL:
        if name in arrays:
            values[name] = _array(arrays, name, source).reshape(-1)
    locations = keypoints[:, 1::-1].astype(np.float32)
    if options.origin == "corner":
        locations -= 0.5
    try:
        return LocalFeatures(
            locations=locations,
            descriptors=_numbers(descriptors, options, source),
            scales=values["scales"],
            attention=values["scores"],
            orientations=values["orientations"],
        )
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error


def global_from_array(array: np.ndarray, source: str) -> np.ndarray:
    """Returns a global descriptor as float32 [D].

    Raises:
        InputError: it is no vector of finite numbers.
    """
    array = np.asarray(array)
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    numbers = array.dtype.kind == "f" and np.isfinite(array).all()
    if array.ndim != 1 or not numbers:
        raise InputError(
            f"{source}: `{GLOBAL}` must be a vector of finite floating-point "
            f"numbers, but is {array.dtype} of shape {list(array.shape)}."
        )
    wide = array.astype(np.float32)
    norm = np.linalg.norm(wide)
    # Rounded to float16, as hloc writes, unit vectors miss their length.
    if array.dtype == np.float16 and abs(norm - 1) < 0.01:
        wide /= norm
    return wide


def _array(
    arrays: Mapping[str, np.ndarray], name: str, source: str
) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            f"{source} has no `{name}`, only {', '.join(sorted(arrays)) or '-'}"
            "."
        )
    array = np.asarray(arrays[name])
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{source}: `{name}` must hold real numbers, but is {array.dtype}."
        )
    return array


def _keypoints(arrays: Mapping[str, np.ndarray], source: str) -> np.ndarray:
    """Returns [N, 2 to 4]; of a shape that might be either, rows are N."""
    keypoints = _array(arrays, KEYPOINTS, source)
    count = np.size(arrays["scores"]) if "scores" in arrays else None
    for array in (keypoints, keypoints.T):
        fits = array.ndim == 2 and array.shape[1] in _COLUMNS
        if fits and count in (None, len(array)):
            return array
    if keypoints.size == 0 and count in (None, 0):
        return np.zeros((0, 2), np.float32)
    scores = "" if count is None else f" beside {count} scores"
    raise InputError(
        f"{source}: `keypoints` must be N rows of x, y and perhaps scale and "
        f"orientation, but have the shape {list(keypoints.shape)}{scores}."
    )


def _numbers(
    descriptors: np.ndarray, options: ForeignOptions, source: str
) -> np.ndarray:
    if options.packed_bits:
        if descriptors.dtype != np.uint8:
            raise InputError(
                f"{source}: descriptors of packed bits must be uint8, but are "
                f"{descriptors.dtype}."
            )
        descriptors = np.unpackbits(descriptors, axis=1)
    if options.packed_bits or descriptors.dtype == bool:
        size = np.float32(descriptors.shape[1] ** -0.5)
        return np.where(descriptors, size, -size)
    if not options.normalise:
        return descriptors
    descriptors = descriptors.astype(np.float32)
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return descriptors / np.where(norms > 0, norms, 1)
