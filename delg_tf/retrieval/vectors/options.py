"""How descriptors are stored and searched."""

import dataclasses

from delg_tf.common.errors import InputError

KINDS = ("float32", "float16", "int8", "hnsw", "ivfpq")
COPIES = ("float16", "int8", "none")


@dataclasses.dataclass(frozen=True)
class VectorOptions:
    """Settings of an index's global descriptors, stored in its manifest.

    Attributes:
        kind: one of `KINDS`. The first three are searched exactly.
        bfloat16_copy: of float32, whether a copy in bfloat16 is written
            beside, half as large again, with which CPUs that multiply
            bfloat16 search in less than half the time, with equal results.
        neighbours: of hnsw, links of an image in the graph (M of the paper).
        ef_construction: of hnsw, images looked at to place a new one.
        ef_search: of hnsw, images looked at by a search; at least k are.
        lists: of ivfpq, number of inverted lists; 0: by
            `ivfpq.default_lists`.
        code_bytes: of ivfpq, bytes of an image's code; 0: by
            `ivfpq.default_parts`.
        probes: of ivfpq, lists that a search reads; 0: by
            `ivfpq.default_probes`.
        copy: of ivfpq, one of `COPIES`: how the descriptors are stored
            beside the codes, for `rescore` and for the similarities.
        rescore: of ivfpq with a copy, how many of the best by their codes
            are compared with the copy, in multiples of k.

    Raises:
        InputError: a value is out of range.
    """

    kind: str = "float32"
    bfloat16_copy: bool = True
    neighbours: int = 32
    ef_construction: int = 100
    ef_search: int = 200
    lists: int = 0
    code_bytes: int = 0
    probes: int = 0
    copy: str = "float16"
    rescore: int = 10

    def __post_init__(self) -> None:
        for field, values in (("kind", KINDS), ("copy", COPIES)):
            if getattr(self, field) not in values:
                raise InputError(
                    f"The {field} of an index's descriptors must be one of "
                    f"{', '.join(values)}, but is {getattr(self, field)!r}."
                )
        if not isinstance(self.bfloat16_copy, bool):
            raise InputError("bfloat16_copy must be true or false.")
        for field, least in (
            ("neighbours", 2),
            ("ef_construction", 1),
            ("ef_search", 1),
            ("lists", 0),
            ("code_bytes", 0),
            ("probes", 0),
            ("rescore", 1),
        ):
            value = getattr(self, field)
            if type(value) is not int or value < least:
                raise InputError(
                    f"{field} must be a whole number from {least} on, but is "
                    f"{value!r}."
                )

    @property
    def needs_training(self) -> bool:
        """Whether descriptors are written only after training on a sample."""
        return self.kind == "ivfpq"
