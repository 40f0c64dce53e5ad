"""Evaluates landmark recognition as Google Landmarks v2 does: GAP and top-1.

Of given predictions:

  tools/evaluate_recognition.py --predictions=predictions.csv \
    --solution=recognition_solution_v2.1.csv

Or a whole run, from images to predictions, metrics.json and a page. A run
that was cut off goes on:

  tools/evaluate_recognition.py --dataset=gldv2 --data_dir=DATA \
    --model=EXPORT --rerank --output_dir=OUT

Labelled images of your own: --index_images_dir, --labels_file,
--query_images_dir and --solution in place of --dataset.
"""

import pathlib

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.features.compact.formats import LOCAL_FORMATS
from delg_tf.protocols import extraction_flags
from delg_tf.retrieval import flags as retrieval_flags
from delg_tf.retrieval.recognition import flags as recognition_flags
from delg_tf.retrieval.vectors import flags as vector_flags

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "predictions", None, "CSV file with id and landmarks, to be measured."
)
flags.DEFINE_string("solution", None, "CSV file with id, landmarks and Usage.")
flags.DEFINE_enum(
    "dataset", None, ["gldv2"], "Data set of a whole run, in --data_dir."
)
flags.DEFINE_string(
    "data_dir", None, "Folder in which tools/download_dataset.py puts data."
)
flags.DEFINE_enum(
    "train_list",
    "train",
    ["train", "train_clean"],
    "Of gldv2: the labelled images are those of train.csv (4.1 million, the "
    "official task) or of train_clean.csv (1.6 million).",
)
flags.DEFINE_string(
    "index_images_dir", None, "Own data: folder of the labelled images."
)
flags.DEFINE_string(
    "labels_file",
    None,
    "Own data: CSV with their labels, whole numbers; columns id and "
    "landmark_id, landmark_id and images, id and label, or path and label.",
)
flags.DEFINE_string(
    "query_images_dir", None, "Own data: folder of the queries."
)
flags.DEFINE_bool(
    "allow_missing_images",
    False,
    "Leave out images that were not downloaded; the record says how many. "
    "The figures are then not those of the whole data set.",
)
flags.DEFINE_string(
    "features_dir",
    None,
    "Folder of features and indexes that are kept, named by hashes of what "
    "they depend on; by default `features` in --data_dir or --output_dir.",
)
flags.DEFINE_bool(
    "keep_index_features",
    True,
    "Keep global descriptors of the labelled images beside the index, so that "
    "an index of another --kind needs no new extraction. 4 million of 2,048 "
    "numbers take 17 GB.",
)
flags.DEFINE_enum(
    "local_format",
    "int8",
    LOCAL_FORMATS,
    "With --rerank: how local features are kept.",
)
flags.DEFINE_bool("rerank", False, "Verify geometrically, and count inliers.")
flags.DEFINE_integer(
    "bootstrap",
    1000,
    "Test sets drawn for the confidence interval of GAP; 0: none.",
    lower_bound=0,
)
flags.DEFINE_bool("report", True, "Write report.html.")
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the results; with --predictions it may be left out.",
)
flags.DEFINE_bool("overwrite", False, "Replace the results in --output_dir.")
extraction_flags.define_extraction_flags()
recognition_flags.define_vote_flags()
vector_flags.define_vector_flags()
retrieval_flags.define_reranking_flags()

_OWN = ("index_images_dir", "labels_file", "query_images_dir")


def _check_flags() -> None:
    """Raises InputError unless the flags name one way."""
    own = [name for name in _OWN if FLAGS[name].value]
    ways = [bool(FLAGS.predictions), bool(FLAGS.dataset), bool(own)]
    if sum(ways) != 1:
        raise InputError(
            "Pass --predictions and --solution, or --dataset, or "
            "--index_images_dir, --labels_file, --query_images_dir and "
            "--solution."
        )
    if bool(FLAGS.dataset) == bool(FLAGS.solution):
        raise InputError(
            "--dataset has its own solution; leave out --solution."
            if FLAGS.dataset
            else "Pass --solution."
        )
    missing = [name for name in _OWN if own and name not in own]
    if FLAGS.dataset and not FLAGS.data_dir:
        missing.append("data_dir")
    if not FLAGS.predictions and not FLAGS.output_dir:
        missing.append("output_dir")
    if missing:
        raise InputError(f"Pass --{missing[0]}.")


def _score() -> None:
    from delg_tf.protocols import recognition_scores

    scores = recognition_scores.score_predictions(
        FLAGS.predictions, FLAGS.solution, FLAGS.bootstrap
    )
    print(recognition_scores.scores_table(scores))
    if FLAGS.output_dir:
        files = {"predictions": FLAGS.predictions, "solution": FLAGS.solution}
        print(
            recognition_scores.write_scores(
                FLAGS.output_dir, scores, FLAGS.overwrite, files=files
            )
        )


def _data_set() -> object:
    from delg_tf.protocols import recognition_data

    if FLAGS.dataset:
        return recognition_data.open_gldv2_recognition(
            pathlib.Path(FLAGS.data_dir) / FLAGS.dataset,
            FLAGS.train_list,
            FLAGS.allow_missing_images,
            "Download it: python tools/download_dataset.py --dataset="
            f"{FLAGS.dataset} --data_dir={FLAGS.data_dir}",
        )
    return recognition_data.open_labelled(
        "own",
        FLAGS.index_images_dir,
        FLAGS.labels_file,
        FLAGS.query_images_dir,
        FLAGS.solution,
        FLAGS.allow_missing_images,
    )


def main() -> None:
    """Reads the flags, measures predictions or runs everything."""
    _check_flags()
    if FLAGS.predictions:
        _score()
        return
    from delg_tf.protocols.recognition import evaluate_recognition
    from delg_tf.protocols.recognition_run import RecognitionOptions
    from delg_tf.protocols.recognition_scores import scores_table
    from delg_tf.retrieval.vectors.options import VectorOptions

    extraction = extraction_flags.extraction_settings(
        FLAGS.local_format, "float16", single_file=FLAGS.num_workers == 1
    )
    options = RecognitionOptions(
        recognition_flags.recognition_config(),
        retrieval_flags.rerank_config() if FLAGS.rerank else None,
        vector_flags.vector_options() or VectorOptions("float16"),
        FLAGS.keep_index_features,
    )
    features = pathlib.Path(FLAGS.data_dir or FLAGS.output_dir) / "features"
    scores = evaluate_recognition(
        _data_set(),
        extraction,
        options,
        FLAGS.features_dir or features,
        FLAGS.output_dir,
        FLAGS.bootstrap,
        FLAGS.report,
        FLAGS.overwrite,
    )
    print(scores_table(scores))
    print(pathlib.Path(FLAGS.output_dir) / "metrics.json")


if __name__ == "__main__":
    cli.run(main)
