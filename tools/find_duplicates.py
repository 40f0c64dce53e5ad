"""Finds near-duplicates among the photographs of an index.

    tools/find_duplicates.py --index=my.index --report=duplicates.html

The same photograph in another size, compression, tone or crop. With
--landmarks: photographs of one landmark, however different.
"""

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "index", None, "Folder of the index (tools/index_images.py)."
)
flags.DEFINE_bool(
    "landmarks", False, "Group photographs of one landmark instead."
)
flags.DEFINE_float(
    "similarity",
    None,
    "Least cosine of two global descriptors for a link.",
)
flags.DEFINE_integer(
    "min_inliers",
    None,
    "Least number of local features that agree on one motion for a link; 0: "
    "the similarity alone decides.",
)
flags.DEFINE_float(
    "min_share",
    None,
    "Least share of the local features that must agree, of the photograph "
    "which has fewer.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_integer(
    "neighbours",
    None,
    "Most similar photographs of each that may be linked to it.",
)
flags.DEFINE_integer("min_size", 2, "Smaller groups are left out.")
flags.DEFINE_string(
    "where", None, "Filter of the photographs, see tools/search.py."
)
flags.DEFINE_bool("json", False, "Print JSON in place of a table.")
flags.DEFINE_string("report", None, "HTML page to write.")
flags.DEFINE_bool("overwrite", False, "Replace the file --report.")
flags.mark_flags_as_required(["index"])


def main() -> None:
    """Groups by the flags."""
    import json

    from delg_tf.common.files import refuse_existing
    from delg_tf.photos import grouping, output
    from delg_tf.photos.pages import groups_page
    from delg_tf.retrieval.index.choice import open_index

    if FLAGS.report:
        refuse_existing(FLAGS.report, FLAGS.overwrite)
    kind = grouping.LANDMARKS if FLAGS.landmarks else grouping.DUPLICATES
    options = kind.changed(
        similarity=FLAGS.similarity,
        min_inliers=FLAGS.min_inliers,
        min_share=FLAGS.min_share,
        neighbours=FLAGS.neighbours,
        min_size=FLAGS.min_size,
        where=FLAGS.where,
    )
    index = open_index(FLAGS.index)
    groups = grouping.group_photos(index, options)
    if FLAGS.report:
        groups_page(FLAGS.report, index, groups, kind.title, kind.lead, options)
    if FLAGS.json:
        print(json.dumps(output.groups_json(groups, index), indent=1))
        return
    if groups:
        print(output.groups_table(groups, index))
    photos = sum(len(group.names) for group in groups)
    print(f"{len(groups)} groups of {photos} photographs among {len(index)}.")


if __name__ == "__main__":
    cli.run(main)
