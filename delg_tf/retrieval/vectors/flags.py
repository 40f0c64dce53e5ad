"""Command-line flags of how global descriptors are stored."""

import dataclasses

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.retrieval.vectors.options import KINDS, VectorOptions

FLAGS = flags.FLAGS


def define_vector_flags() -> None:
    """Defines the flags that `vector_options` reads."""
    flags.DEFINE_enum(
        "kind",
        None,
        KINDS,
        "How a new index keeps global descriptors: float32 (default), float16, "
        "int8: exact search; hnsw, ivfpq: approximate, for large sets.",
    )
    flags.DEFINE_list(
        "kind_options",
        [],
        "Settings of the kind, such as ef_search=400 or lists=4096,probes=64; "
        "see VectorOptions in delg_tf/retrieval/vectors/options.py.",
    )


def vector_options() -> VectorOptions | None:
    """Returns what the flags say of a new index; None if they say nothing.

    Raises:
        InputError: there is no such setting, or its value is out of range.
    """
    if FLAGS.kind is None and not FLAGS.kind_options:
        return None
    fields = {field.name: field for field in dataclasses.fields(VectorOptions)}
    del fields["kind"]
    given = {}
    for text in FLAGS.kind_options:
        name, _, value = text.partition("=")
        if name not in fields:
            raise InputError(
                f"--kind_options: {name!r} must be one of {', '.join(fields)}."
            )
        given[name] = _value(name, value, fields[name].type)
    return VectorOptions(FLAGS.kind or "float32", **given)


def _value(name: str, text: str, kind: type) -> int | bool | str:
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is int and text.isdecimal():
        return int(text)
    if kind is str:
        return text
    wanted = "true or false" if kind is bool else "a whole number"
    raise InputError(f"--kind_options: {name} must be {wanted}, not {text!r}.")
