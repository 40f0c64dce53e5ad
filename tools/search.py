"""Searches an index of photographs for photographs.

    tools/search.py --index=my.index query.jpg --report=found.html

Prints a ranked table (JSON with --json). The index is made by
tools/index_images.py. For features in files see tools/search_features.py.
"""

from collections.abc import Sequence

from absl import flags

from delg_tf.common import cli
from delg_tf.extraction import flags as extraction_flags
from delg_tf.photos import flags as photo_flags
from delg_tf.retrieval import flags as retrieval_flags

FLAGS = flags.FLAGS

photo_flags.define_photo_flags()
retrieval_flags.define_reranking_flags()
flags.DEFINE_bool(
    "rerank",
    True,
    "Verify the best geometrically; without it the global descriptors alone "
    "decide.",
)
flags.DEFINE_integer("top", 10, "Photographs in each list.")
flags.DEFINE_string(
    "where",
    None,
    "Filter by what the index knows of its photographs, such as "
    "\"landmark == 'Bridge' and taken >= '2024'\", \"folder in ('a', 'b')\", "
    '"near(48.858, 2.294, 0.5)" (degrees, km).',
)
flags.DEFINE_bool("json", False, "Print JSON in place of a table.")
flags.DEFINE_string(
    "report", None, "HTML page to write, with match lines and attention maps."
)
flags.DEFINE_bool("overwrite", False, "Replace the file --report.")


def main(arguments: Sequence[str]) -> None:
    """Searches by the flags."""
    import json

    from delg_tf.common.files import refuse_existing
    from delg_tf.photos import output
    from delg_tf.photos.pages import search_page
    from delg_tf.photos.searching import PhotoSearchOptions, search_photos
    from delg_tf.retrieval.index.choice import open_index

    if FLAGS.report:
        refuse_existing(FLAGS.report, FLAGS.overwrite)
    reranking = retrieval_flags.rerank_config()
    options = PhotoSearchOptions(
        config=photo_flags.extraction_config(),
        top=FLAGS.top,
        where=FLAGS.where,
        reranking=reranking if FLAGS.rerank else None,
        max_image_pixels=FLAGS.max_image_pixels,
    )
    index = open_index(FLAGS.index)
    searches = search_photos(
        index, arguments, options, extraction_flags.make_extractor
    )
    if FLAGS.report:
        settings = {"index": FLAGS.index, "filter": FLAGS.where or "none"}
        search_page(FLAGS.report, index, searches, reranking.matching, settings)
    if FLAGS.json:
        print(json.dumps(output.search_json(searches), indent=1))
    else:
        print(output.search_table(searches))


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
