"""Names of the formats and what a feature takes in each."""

LOCAL_FORMATS = ("float32", "float16", "int8", "binary")
GLOBAL_FORMATS = ("float32", "float16")

# y, x, scale, attention: as they are with float32, and in fewer bytes.
_EXACT_GEOMETRY = 16
_COMPACT_GEOMETRY = 10


def code_bytes(local_format: str, depth: int) -> int:
    """Returns the bytes of one descriptor of `depth` numbers."""
    return {
        "float32": 4 * depth,
        "float16": 2 * depth,
        "int8": depth,
        "binary": (depth + 7) // 8,
    }[local_format]


def feature_bytes(local_format: str, depth: int) -> int:
    """Returns the bytes of one feature without orientation, place and all."""
    exact = local_format == "float32"
    geometry = _EXACT_GEOMETRY if exact else _COMPACT_GEOMETRY
    return geometry + code_bytes(local_format, depth)
