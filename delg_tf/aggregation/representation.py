"""The aggregated representation of one image, and its official files."""

import dataclasses

import numpy as np

from delg_tf.aggregation.config import bytes_per_word
from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.features import datum_io
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Aggregated:
    """VLAD, ASMK or ASMK* of one image.

    Attributes:
        descriptors: VLAD: float32 [K * D]. ASMK: float32 [W, D], of unit
            length. ASMK*: uint8 [W, ceil(D / 8)], signs, see `asmk.binarise`.
        words: uint32 [W], sorted and distinct visual words; None for VLAD.
    """

    descriptors: np.ndarray
    words: np.ndarray | None

    @property
    def is_empty(self) -> bool:
        """Whether the image has no features."""
        if self.words is None:
            return not self.descriptors.any()
        return not len(self.words)


def serialize_aggregated(aggregated: Aggregated) -> bytes:
    """Returns the bytes of an official file.

    `.vlad` and `.rvlad` are a DatumProto; `.asmk`, `.asmk_star`, `.rasmk` and
    `.rasmk_star` a DatumPairProto of the flat descriptors and the words.
    """
    if aggregated.words is None:
        return datum_io.serialize_datum(aggregated.descriptors)
    return datum_io.serialize_datum_pair(
        aggregated.descriptors.ravel(), aggregated.words.astype(np.uint32)
    )


def write_aggregated(path: PathLike, aggregated: Aggregated) -> None:
    """Writes an official file, atomically; replaces what is there."""
    datum_io.write_bytes(path, serialize_aggregated(aggregated))


def parse_aggregated(
    data: bytes, config: AggregationConfig, source: str = "The data"
) -> Aggregated:
    """Returns the representation of an official file.

    Args:
        data: the content of the file.
        config: what it was made by.
        source: what the data is to the user, for errors.

    Raises:
        InputError: the data is damaged, or of another configuration.
    """
    if config.aggregation_type == AggregationConfig.VLAD:
        return _parse_vlad(data, config, source)
    first, words = datum_io.parse_datum_pair(data, source)
    depth, dtype = config.feature_dimensionality, np.float32
    if config.aggregation_type == AggregationConfig.ASMK_STAR:
        depth, dtype = bytes_per_word(config), np.uint32
    # Empty ones of the official programs need not tell their type.
    if words.size and (first.dtype != dtype or words.dtype != np.uint32):
        raise InputError(
            f"{source} holds {first.dtype} and {words.dtype} numbers, and not "
            f"those of the configuration's aggregation_type."
        )
    words = words.ravel().astype(np.uint32)
    if first.size != len(words) * depth:
        raise InputError(
            f"{source} holds {first.size} numbers for {len(words)} visual "
            f"words; the configuration makes {depth} a word."
        )
    if len(words) and (
        np.any(words[1:] <= words[:-1]) or words[-1] >= config.codebook_size
    ):
        raise InputError(
            f"{source} is damaged or made with another codebook: its visual "
            f"words must rise and be below {config.codebook_size}."
        )
    rows = first.reshape(len(words), depth)
    if config.aggregation_type == AggregationConfig.ASMK:
        return Aggregated(_finite(rows.astype(np.float32), source), words)
    if rows.size and rows.max() > 255:
        raise InputError(f"{source} is damaged: a byte is above 255.")
    return Aggregated(rows.astype(np.uint8), words)


def read_aggregated(path: PathLike, config: AggregationConfig) -> Aggregated:
    """Reads an official file; see `parse_aggregated`.

    Raises:
        InputError: the file is missing, damaged, or of another configuration.
    """
    return parse_aggregated(datum_io.read_bytes(path), config, str(path))


def _parse_vlad(
    data: bytes, config: AggregationConfig, source: str
) -> Aggregated:
    vlad = datum_io.parse_datum(data, source)
    size = config.codebook_size * config.feature_dimensionality
    if vlad.dtype != np.float32 or vlad.size != size:
        raise InputError(
            f"{source} holds {vlad.size} {vlad.dtype} numbers; the "
            f"configuration makes {size} float32."
        )
    return Aggregated(_finite(vlad.ravel(), source), None)


def _finite(values: np.ndarray, source: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError(f"{source} is damaged: not all numbers are finite.")
    return values
