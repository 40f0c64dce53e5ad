r"""Builds the TFRecord files of training, validation and test images.

From Google Landmarks v2:
  python tools/build_tfrecords.py --train_directory=gldv2/train \
    --train_csv_path=gldv2/train.csv \
    --train_clean_csv_path=gldv2/train_clean.csv \
    --generate_train_validation_splits --output_directory=gldv2/tfrecord

From own photographs, one folder a class:
  python tools/build_tfrecords.py --class_folders_directory=photos \
    --generate_train_validation_splits --output_directory=records

or listed in a CSV file with the header path,label:
  python tools/build_tfrecords.py --labelled_csv_path=photos/list.csv \
    --generate_train_validation_splits --output_directory=records
"""

import dataclasses

from absl import flags

from delg_tf.common import cli
from delg_tf.data import image_limits
from delg_tf.parallel import flags as parallel_flags

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "train_directory",
    None,
    "Folder of the training images: a/b/c/abc....jpg as downloaded, or "
    "abc....jpg. Other image formats are found too.",
)
flags.DEFINE_string(
    "train_csv_path",
    None,
    "train.csv, with the columns id, url and landmark_id.",
)
flags.DEFINE_string(
    "train_clean_csv_path",
    None,
    "train_clean.csv, with the columns landmark_id and images. Only its "
    "images are used, and classes are numbered without gaps.",
)
flags.DEFINE_string(
    "drop_landmarks",
    None,
    "Landmarks to leave out of --train_csv_path or --train_clean_csv_path: a "
    "file with a landmark_id a line, or a CSV with that column. With those of "
    "Revisited Oxford and Paris, GLDv2-clean becomes RGLDv2-clean. They are "
    "dropped before classes are numbered; dropped_landmarks.csv counts them.",
)
flags.DEFINE_string(
    "class_folders_directory",
    None,
    "Own data, instead of --train_directory: a folder whose sub-folders are "
    "the classes, class_name/any_name.jpg.",
)
flags.DEFINE_string(
    "labelled_csv_path",
    None,
    "Own data, instead of --train_directory: a CSV file with the columns path "
    "and label. Labels are any strings; relabeling.csv says which number each "
    "one gets.",
)
flags.DEFINE_string(
    "images_directory",
    None,
    "What relative paths in --labelled_csv_path start from; default: the "
    "folder of that file.",
)
flags.DEFINE_string(
    "test_directory", None, "Folder of the test images, laid out likewise."
)
flags.DEFINE_string(
    "test_csv_path", None, "test.csv or index.csv, with the column id."
)
flags.DEFINE_string(
    "output_directory", None, "Where the records go; made if missing."
)
flags.DEFINE_integer("num_shards", 128, "Record files for each split.")
flags.DEFINE_bool(
    "generate_train_validation_splits",
    False,
    "Whether to keep a part of each class for validation.",
)
flags.DEFINE_float(
    "validation_split_size",
    0.2,
    "The part of each class that is kept for validation, between 0 and 1. A "
    "class with one image stays in training.",
)
flags.DEFINE_integer("seed", 0, "Seed of the shuffling and of the split.")
flags.DEFINE_enum(
    "relabel",
    "auto",
    ["auto", "raw", "listed", "present"],
    "How landmark ids become labels. raw: they are the labels. listed: the "
    "landmarks of the CSV are numbered 0, 1, ... in ascending order. present: "
    "only those with an image on disk, for partial downloads. auto: listed "
    "with --train_clean_csv_path or --labelled_csv_path and raw otherwise. "
    "relabeling.csv keeps the ids.",
)
flags.DEFINE_integer(
    "num_workers",
    0,
    "Threads on this machine (--runner=local), each with a file; 0 for one a "
    "core.",
)
parallel_flags.define_flags()
flags.DEFINE_bool(
    "overwrite",
    False,
    "Whether records of other inputs in --output_directory may be replaced.",
)
image_limits.define_flag()
flags.mark_flag_as_required("output_directory")


def main() -> None:
    """Builds the records and prints a summary."""
    from delg_tf.data import builder  # After --help: Pillow, NumPy.
    from delg_tf.data.build_options import BuildOptions

    names = [field.name for field in dataclasses.fields(BuildOptions)]
    options = BuildOptions(**{name: FLAGS[name].value for name in names})
    print(builder.build(options))


if __name__ == "__main__":
    cli.run(main)
