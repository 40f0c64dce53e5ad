"""How descriptors are stored and searched."""

import dataclasses

from delg_tf.common.errors import InputError

KINDS = ("float32", "float16", "int8", "hnsw", "ivfpq")


@dataclasses.dataclass(frozen=True)
class VectorOptions:
    """Settings of an index's global descriptors, stored in its manifest.

    Attributes:
        kind: one of `KINDS`. The first three are searched exactly.

    Raises:
        InputError: a value is out of range.
    """

    kind: str = "float32"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"The kind of index must be one of {', '.join(KINDS)}, but is "
                f"{self.kind!r}."
            )

    @property
    def needs_training(self) -> bool:
        """Whether descriptors are written only after training on a sample."""
        return self.kind == "ivfpq"
