"""Images to add to an index, and what is checked of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from delg_tf.common.errors import InputError
from delg_tf.common.files import readable
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.local_features import LocalFeatures
from delg_tf.retrieval.descriptors import check_descriptors
from delg_tf.retrieval.index.metadata import as_table
from delg_tf.retrieval.index.names import check_names, some
from delg_tf.retrieval.index.settings import IndexSettings


@dataclasses.dataclass(frozen=True, eq=False)
class ImageBatch:
    """N images to add to an index.

    Attributes:
        names: distinct names, single lines of text.
        descriptors: float32 [N, D], L2-normalised; zeros where an image has
            none.
        local: local features of each image, for an index that keeps them.
        metadata: N rows; columns of any name but `name`. Other batches may
            have other columns; what an image lacks is null.
        model: identity of the features' model, or "".
    """

    names: Sequence[str]
    descriptors: np.ndarray
    local: Sequence[LocalFeatures | EncodedFeatures] | None = None
    metadata: pa.Table | Mapping[str, Sequence[Any]] | None = None
    model: str = ""

    def __len__(self) -> int:
        return len(self.names)


@dataclasses.dataclass(frozen=True, eq=False)
class CheckedBatch:
    """N images, 1 or more, that fit an index.

    Attributes:
        names: distinct.
        descriptors: float32 [N, D], L2-normalised or zeros.
        local: in the index's format; None if it keeps none.
        metadata: N rows; None for no columns.
    """

    names: Sequence[str]
    descriptors: np.ndarray
    local: list[EncodedFeatures] | None
    metadata: pa.Table | None


def checked_batch(
    batch: ImageBatch, settings: IndexSettings
) -> CheckedBatch | None:
    """Checks and encodes images; None for an empty batch.

    Raises:
        InputError, ValueError: see `IndexWriter.add`.
    """
    names, descriptors = list(batch.names), np.asarray(batch.descriptors)
    if descriptors.ndim != 2 or len(names) != len(descriptors):
        raise ValueError(
            "`descriptors` must be [N, D] with a row a name. Received: "
            f"{descriptors.shape} for {len(names)} names."
        )
    if not names:
        return None
    check_names(names)
    settings.check_model(batch.model, "The images to add")
    settings.check_dimension(descriptors.shape[1], "The images to add")
    return CheckedBatch(
        names,
        check_descriptors("descriptors", descriptors),
        _encoded(names, batch.local, settings),
        as_table(batch.metadata, len(names)),
    )


def _encoded(
    names: list[str], local: Sequence | None, settings: IndexSettings
) -> list[EncodedFeatures] | None:
    if settings.local_format is None:
        if local is not None:
            raise InputError(
                "The index keeps no local features. Leave them out, or create "
                "it with a format for them."
            )
        return None
    if local is None:
        local = [None] * len(names)
    if len(local) != len(names):
        raise ValueError(
            f"`local` must have {len(names)} entries, one an image. Received: "
            f"{len(local)}."
        )
    missing = [name for name, features in zip(names, local) if features is None]
    if missing:
        raise InputError(
            f"The index keeps local features, but {len(missing)} images have "
            f"none: {some(missing)}. Extract them with a model that has a "
            "local head."
        )
    encoded = []
    for name, features in zip(names, local):
        try:
            image = CompactImage.make(None, features, settings.local_format)
        except InputError as error:
            raise InputError(f"{readable(name)}: {error}") from error
        encoded.append(image.local)
    return encoded
