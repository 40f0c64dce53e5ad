"""What all images of an index have in common."""

import dataclasses
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.features.compact.formats import LOCAL_FORMATS
from delg_tf.retrieval.vectors.options import VectorOptions


@dataclasses.dataclass(frozen=True)
class IndexSettings:
    """What is decided when an index is created.

    Attributes:
        dimension: length of the global descriptors.
        vectors: how these are stored and searched.
        local_format: how local features are stored, one of `LOCAL_FORMATS`;
            None: they are not.
        model: identity of what the features are extracted with, see
            `extraction.identity`; "" if that is not known.
        features_dir: folder or store that the features come from, where local
            features are looked for if the index has none; or "".
        extraction: text of the `DelfConfig` by which photographs are
            extracted for the index; or "".

    Raises:
        InputError: a value is out of range.
    """

    dimension: int
    vectors: VectorOptions = dataclasses.field(default_factory=VectorOptions)
    local_format: str | None = None
    model: str = ""
    features_dir: str = ""
    extraction: str = ""

    def __post_init__(self) -> None:
        if type(self.dimension) is not int or self.dimension < 1:
            raise InputError(
                "The dimension of an index must be a whole number above 0, "
                f"but is {self.dimension!r}."
            )
        if self.local_format not in (None, *LOCAL_FORMATS):
            raise InputError(
                "The format of local features must be one of "
                f"{', '.join(LOCAL_FORMATS)}, but is {self.local_format!r}."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "IndexSettings":
        """Reverts `dataclasses.asdict`.

        Raises:
            TypeError: there are other fields.
        """
        return cls(**{**values, "vectors": VectorOptions(**values["vectors"])})

    def check_model(self, model: str, what: str) -> None:
        """Checks that features are of the index's model, where both are known.

        Args:
            model: identity of the features' model, or "".
            what: whose features they are, for the message.

        Raises:
            InputError: they are of another.
        """
        if model and self.model and model != self.model:
            raise InputError(
                f"{what} are of the model and configuration {model}, the "
                f"index of {self.model}. Extract both with the same."
            )

    def check_dimension(self, dimension: int, what: str) -> None:
        """Checks that descriptors are as long as the index's.

        Raises:
            InputError: they are not.
        """
        if dimension != self.dimension:
            raise InputError(
                f"{what} have {dimension} dimensions, those of the index "
                f"{self.dimension}. Extract both with the same model."
            )
