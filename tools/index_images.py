"""Puts the photographs of a folder into an index for tools/search.py.

    tools/index_images.py PHOTOS/ --index=my.index --delf_config_path=...

A later run adds what is new and takes up what has changed; a run that was cut
off goes on.
"""

from collections.abc import Sequence

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.extraction import flags as extraction_flags
from delg_tf.features.compact.formats import LOCAL_FORMATS
from delg_tf.photos import flags as photo_flags
from delg_tf.retrieval.vectors import flags as vector_flags

FLAGS = flags.FLAGS

photo_flags.define_photo_flags()
vector_flags.define_vector_flags()
flags.DEFINE_enum(
    "local_format",
    "binary",
    ["none", *LOCAL_FORMATS],
    "How a new index keeps local features. A feature of 128 numbers takes 26 "
    "bytes as binary, 138 as int8, 266 as float16, 528 as float32; none: "
    "nothing can be verified geometrically.",
)
flags.DEFINE_string(
    "metadata_csv",
    None,
    "CSV file with a column `name` (path in the folder, with ending) and any "
    "others, which --where of tools/search.py can ask for.",
)
flags.DEFINE_string(
    "name_prefix",
    "",
    "Put before all names: several folders with equal names in one index.",
)
flags.DEFINE_bool(
    "prune",
    False,
    "Remove photographs from the index whose files are gone.",
)
flags.DEFINE_integer(
    "batch_size",
    1,
    "Photographs of one size that go through the network together.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "memory_limit_mib", None, "MiB that extraction may take.", lower_bound=1
)


def main(arguments: Sequence[str]) -> None:
    """Indexes by the flags."""
    from delg_tf.photos.indexing import IndexingOptions, index_photos

    if len(arguments) != 1:
        raise InputError(
            "Name one folder of photographs: tools/index_images.py PHOTOS/ "
            "--index=my.index"
        )
    local_format = None if FLAGS.local_format == "none" else FLAGS.local_format
    limit = FLAGS.memory_limit_mib
    options = IndexingOptions(
        config=photo_flags.extraction_config(),
        vectors=vector_flags.vector_options(),
        local_format=local_format,
        metadata_csv=FLAGS.metadata_csv,
        prefix=FLAGS.name_prefix,
        prune=FLAGS.prune,
        batch_size=FLAGS.batch_size,
        max_image_pixels=FLAGS.max_image_pixels,
        memory_limit=None if limit is None else limit << 20,
    )
    done = index_photos(
        arguments[0], FLAGS.index, options, extraction_flags.make_extractor
    )
    print(
        f"{FLAGS.index}: {done.total} photographs; {done.added} added "
        f"({done.images_per_second:.1f} a second), {done.updated} updated, "
        f"{done.unchanged} unchanged, {done.removed} removed, "
        f"{len(done.skipped)} skipped."
    )


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
