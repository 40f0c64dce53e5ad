r"""Runs an experiment of several trainings, and writes its table and charts.

At demonstration size, on two processor cores:
  python tools/run_experiment.py --experiment=experiments/table2_global --demo \
    --output_directory=runs/table2_global_demo

With real data:
  python tools/run_experiment.py --experiment=experiments/table2_global \
    --train_file_pattern='gldv2/tfrecord/train-*' \
    --init_checkpoint=resnet_v1_50.ckpt \
    --dataset_file_path=gnd_roxford5k.mat --images_dir=oxford5k_images \
    --output_directory=runs/table2

What is done is not done again; what was cut off goes on.
"""

import pathlib
import shlex
import sys

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError

FLAGS = flags.FLAGS

flags.DEFINE_string("experiment", None, "Folder with a study.pbtxt.")
flags.DEFINE_string(
    "output_directory",
    None,
    "Folder of everything made; RESULTS.md and the charts lie in it.",
)
flags.DEFINE_list("seeds", ["0"], "Every variant is run with every seed.")
flags.DEFINE_list(
    "variants", [], "Run these only (and what they start from), by name."
)
flags.DEFINE_bool(
    "demo",
    False,
    "Demonstration size: the flags of demo.flags, on the demonstration's data.",
)
flags.DEFINE_bool(
    "quick",
    False,
    "With --demo: little data, hardly any training. Shows that everything "
    "runs; its figures mean nothing.",
)
flags.DEFINE_string(
    "demo_data",
    "runs/demo_data",
    "Folder of the demonstration's data, made if it is missing; experiments "
    "share it.",
)
flags.DEFINE_string("train_file_pattern", None, "Glob of training TFRecords.")
flags.DEFINE_string(
    "validation_file_pattern", None, "Glob of validation TFRecords, if any."
)
flags.DEFINE_string(
    "init_checkpoint",
    None,
    "Pre-trained weights that the trainings start from.",
)
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth in the Revisited Oxford/Paris format (.mat or .pkl), for "
    "studies that measure retrieval.",
)
flags.DEFINE_string("images_dir", None, "Images of --dataset_file_path.")
flags.DEFINE_string(
    "pairs_file",
    None,
    "CSV of image pairs (query,index,match) for studies that rank pairs; "
    "default: pairs of --dataset_file_path.",
)
flags.DEFINE_string("pairs_images_dir", None, "Images of --pairs_file.")
flags.DEFINE_string(
    "pca_images_dir",
    None,
    "Folder of training images, for studies that learn a PCA.",
)
flags.DEFINE_bool("dry_run", False, "Print the commands; run none.")
flags.mark_flags_as_required(["experiment", "output_directory"])


def _data():
    from delg_tf.study.data import StudyData

    def path(value: str | None) -> pathlib.Path | None:
        return pathlib.Path(value).absolute() if value else None

    def text(value: str | None) -> str | None:
        if value and "://" in value:  # e.g. gs://
            return value
        return str(path(value)) if value else None

    pca = text(FLAGS.pca_images_dir)
    return StudyData(
        train_records=text(FLAGS.train_file_pattern) or "",
        validation_records=text(FLAGS.validation_file_pattern),
        init_checkpoint=text(FLAGS.init_checkpoint),
        ground_truth=path(FLAGS.dataset_file_path),
        images_dir=path(FLAGS.images_dir),
        pairs_file=path(FLAGS.pairs_file),
        pairs_images_dir=path(FLAGS.pairs_images_dir),
        pca_images=(f"--images_dir={pca}",) if pca else (),
    )


def main() -> None:
    """Runs the experiment by the flags."""
    from delg_tf.study.run import StudyOptions, run_study

    try:
        seeds = tuple(int(seed) for seed in FLAGS.seeds)
    except ValueError as error:
        raise InputError(f"--seeds must be integers: {error}") from error
    if FLAGS.quick and not FLAGS.demo:
        raise InputError("--quick goes with --demo.")
    print(
        run_study(
            StudyOptions(
                experiment=FLAGS.experiment,
                output_directory=FLAGS.output_directory,
                seeds=seeds,
                variants=tuple(FLAGS.variants),
                demo=FLAGS.demo,
                quick=FLAGS.quick,
                demo_data=FLAGS.demo_data,
                data=_data(),
                dry_run=FLAGS.dry_run,
                command=f"python {shlex.join(sys.argv)}",
            )
        )
    )


if __name__ == "__main__":
    cli.run(main)
