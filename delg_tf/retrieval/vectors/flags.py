"""Command-line flags of how global descriptors are stored."""

from absl import flags

from delg_tf.retrieval.vectors.options import KINDS, VectorOptions

FLAGS = flags.FLAGS


def define_vector_flags() -> None:
    """Defines the flags that `vector_options` reads."""
    flags.DEFINE_enum(
        "kind",
        "float32",
        KINDS,
        "How a new index keeps global descriptors: float32, float16, int8: "
        "exact search; hnsw, ivfpq: approximate, for large sets.",
    )


def vector_options() -> VectorOptions:
    """Returns what the flags say, for a new index."""
    return VectorOptions(FLAGS.kind)
