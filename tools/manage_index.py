"""Describes, checks, compacts and changes an index of images.

python tools/manage_index.py --index_dir=INDEX --command=describe
"""

import json

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS

_COMMANDS = ("describe", "verify", "compact", "remove", "set_metadata")

flags.DEFINE_string(
    "index_dir",
    None,
    "Index made by tools/build_index.py, in a folder or on Milvus.",
)
flags.DEFINE_enum(
    "command",
    "describe",
    _COMMANDS,
    "describe: what it holds and takes; verify: the checksums of all files; "
    "compact: drop what was removed and merge parts; remove: images of "
    "--names, --names_file or --where; set_metadata: columns of "
    "--metadata_csv, for images that are in both.",
)
flags.DEFINE_bool("json", False, "With describe: print JSON.")
flags.DEFINE_list("names", None, "Images to remove, separated by commas.")
flags.DEFINE_string("names_file", None, "File with their names, one a line.")
flags.DEFINE_string(
    "where",
    None,
    "Remove the images that pass a filter, like: label == 7 and city in "
    '["Paris"] and near(48.86, 2.29, 5).',
)
flags.DEFINE_string(
    "metadata_csv", None, "CSV file as tools/build_index.py takes it."
)
flags.mark_flags_as_required(["index_dir"])


def _describe() -> None:
    from delg_tf.retrieval.index.choice import open_index
    from delg_tf.retrieval.text_table import markdown_table

    description = open_index(FLAGS.index_dir).describe()
    if FLAGS.json:
        print(json.dumps(description.to_dict()))
    else:
        print(markdown_table(["what", "value"], description.to_rows()))


def _verify() -> None:
    from delg_tf.retrieval.index.choice import open_index

    problems = open_index(FLAGS.index_dir).verify()
    if problems:
        raise InputError("\n".join(problems))
    print(f"{FLAGS.index_dir}: all checksums hold.")


def _compact() -> None:
    from delg_tf.retrieval.index.choice import open_writer

    with open_writer(FLAGS.index_dir) as writer:
        writer.compact()
        print(f"{FLAGS.index_dir}: {len(writer)} images in one part.")


def _remove() -> None:
    from delg_tf.retrieval.index.choice import open_writer
    from delg_tf.retrieval.index.editing import remove_images
    from delg_tf.retrieval.listing import read_names

    given = (FLAGS.names, FLAGS.names_file, FLAGS.where)
    if sum(bool(value) for value in given) != 1:
        raise InputError("Pass one of --names, --names_file and --where.")
    names = read_names(FLAGS.names_file) if FLAGS.names_file else FLAGS.names
    with open_writer(FLAGS.index_dir) as writer:
        count = remove_images(FLAGS.index_dir, writer, names, FLAGS.where)
        print(f"{count} images removed, {len(writer)} left.")


def _set_metadata() -> None:
    from delg_tf.retrieval.index.choice import open_writer
    from delg_tf.retrieval.index.editing import set_metadata
    from delg_tf.retrieval.index.metadata_csv import read_metadata_csv

    if not FLAGS.metadata_csv:
        raise InputError("set_metadata needs --metadata_csv.")
    table = read_metadata_csv(FLAGS.metadata_csv)
    with open_writer(FLAGS.index_dir) as writer:
        known, others = set_metadata(writer, table)
    print(f"{known} images set; {others} rows are of images not in the index.")


def main() -> None:
    """Runs the command."""
    {
        "describe": _describe,
        "verify": _verify,
        "compact": _compact,
        "remove": _remove,
        "set_metadata": _set_metadata,
    }[FLAGS.command]()


if __name__ == "__main__":
    cli.run(main)
