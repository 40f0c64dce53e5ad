"""Downloads public data sets, weights and models, and checks them.

    tools/download_dataset.py --list
    tools/download_dataset.py --dataset=roxford5k,rparis6k --data_dir=data
    tools/download_dataset.py --dataset=gldv2_train --parts=0-9,17 \
        --data_dir=data
    tools/download_dataset.py --dataset=roxford5k --data_dir=data --verify

What is in place stays, and what was cut off goes on: start it again.
"""

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_list("dataset", [], "Names of data sets, see --list.")
flags.DEFINE_string("data_dir", "data", "Folder of all data sets.")
flags.DEFINE_bool(
    "list", False, "Print data sets, licences and addresses, and end."
)
flags.DEFINE_bool(
    "verify",
    False,
    "Download nothing: compare what is there with its SHA-256, list what is "
    "missing or damaged, and end with code 1 if something is.",
)
flags.DEFINE_string(
    "parts",
    None,
    "Which archives of data sets that are cut into many (gldv2_*, "
    "revisitop1m), as in 0-9,17. All if not given.",
)
flags.DEFINE_string(
    "only", None, "Pattern of names of files, as in 'r50delg*'."
)
flags.DEFINE_string(
    "mirror",
    None,
    "http(s)://HOST[/FOLDER] to ask in place of the official servers, for the "
    "same paths.",
)
flags.DEFINE_integer("jobs", 4, "Files that come at a time.", lower_bound=1)
flags.DEFINE_float(
    "timeout",
    60.0,
    "Seconds without a byte after which an attempt is given up.",
    lower_bound=0.1,
)
flags.DEFINE_integer(
    "attempts",
    6,
    "How often a file is tried without coming further.",
    lower_bound=1,
)
flags.DEFINE_float(
    "backoff",
    1.0,
    "Seconds before the second attempt; doubled each time.",
    lower_bound=0.0,
)
flags.DEFINE_bool(
    "keep_archives", False, "Leave archives in DATA_DIR/downloads."
)
flags.DEFINE_bool(
    "ignore_checksums", False, "Take files whose checksum is another one."
)
flags.DEFINE_bool(
    "overwrite",
    False,
    "Replace other content that lies in the place of a file.",
)


def main() -> None:
    """Downloads or verifies by the flags."""
    from delg_tf.common.errors import InputError
    from delg_tf.download import run, verify
    from delg_tf.download.listing import list_data_sets
    from delg_tf.download.selection import parse_parts
    from delg_tf.download.transfer import TransferOptions

    if FLAGS.list:
        print(list_data_sets(FLAGS.dataset))
        return
    if not FLAGS.dataset:
        raise InputError("Name a data set: --dataset=NAME (see --list).")
    chosen = {
        "parts": None if FLAGS.parts is None else parse_parts(FLAGS.parts),
        "only": FLAGS.only,
        "jobs": FLAGS.jobs,
    }
    if FLAGS.verify:
        result = verify.verify(FLAGS.dataset, FLAGS.data_dir, **chosen)
        print(verify.report(result))
        return
    result = run.download(
        FLAGS.dataset,
        FLAGS.data_dir,
        FLAGS.mirror,
        **chosen,
        keep_archives=FLAGS.keep_archives,
        ignore_checksums=FLAGS.ignore_checksums,
        overwrite=FLAGS.overwrite,
        transfer=TransferOptions(FLAGS.timeout, FLAGS.attempts, FLAGS.backoff),
    )
    print(
        f"{len(result.placed)} files downloaded into {FLAGS.data_dir}, "
        f"{result.present} were there; no checksum is published for "
        f"{len(result.unchecked)} of the new ones."
    )


if __name__ == "__main__":
    cli.run(main)
