"""What to build, and whether it can be."""

import dataclasses
import os
import pathlib

from delg_tf.common.errors import InputError
from delg_tf.data import shards
from delg_tf.data.image_limits import MAX_PIXELS


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """What to build; names and defaults are those of the tool's flags.

    Attributes:
        output_directory: for the record files; made if missing.
        train_directory: images of `train_csv_path`.
        train_csv_path: train.csv of Google Landmarks v2.
        train_clean_csv_path: train_clean.csv; only its images are used.
        drop_landmarks: file of landmarks that are left out of them.
        class_folders_directory: instead of these, `class_name/*.jpg` folders.
        labelled_csv_path: instead of these, a CSV with the columns path and
            label.
        images_directory: what its relative paths start from; default: its
            own folder.
        test_directory: images of `test_csv_path`.
        test_csv_path: test.csv or index.csv of Google Landmarks v2.
        num_shards: record files a split.
        generate_train_validation_splits: split the training images.
        validation_split_size: part of each class for validation, in (0, 1).
        seed: of shuffling and split.
        relabel: one of `sources.RELABEL_MODES`.
        max_image_pixels: larger images are left out.
        num_workers: threads of the runner "local"; 0 for one a core.
        runner: "local", or one of Apache Beam.
        runner_options: of Beam's, as on a command line.
        overwrite: replace a data set made from other inputs.
    """

    output_directory: str | os.PathLike
    train_directory: str | os.PathLike | None = None
    train_csv_path: str | os.PathLike | None = None
    train_clean_csv_path: str | os.PathLike | None = None
    drop_landmarks: str | os.PathLike | None = None
    class_folders_directory: str | os.PathLike | None = None
    labelled_csv_path: str | os.PathLike | None = None
    images_directory: str | os.PathLike | None = None
    test_directory: str | os.PathLike | None = None
    test_csv_path: str | os.PathLike | None = None
    num_shards: int = 128
    generate_train_validation_splits: bool = False
    validation_split_size: float = 0.2
    seed: int = 0
    relabel: str = "auto"
    max_image_pixels: int = MAX_PIXELS
    num_workers: int = 0
    runner: str = "local"
    runner_options: str = ""
    overwrite: bool = False


def check_options(options: BuildOptions) -> None:
    """Checks that the options fit together.

    Raises:
        InputError: naming the flag.
    """
    _check_origins(options)
    output = pathlib.Path(options.output_directory)
    _require(
        output.is_dir() or not output.exists(),
        f"--output_directory {output} is a file.",
    )
    _require(
        1 <= options.num_shards <= shards.MAX_SHARDS,
        f"--num_shards must be in 1..{shards.MAX_SHARDS}, not "
        f"{options.num_shards}.",
    )
    _require(
        0 < options.validation_split_size < 1,
        "--validation_split_size must lie between 0 and 1, not "
        f"{options.validation_split_size}.",
    )
    _require(options.seed >= 0, f"--seed must be >= 0, not {options.seed}.")
    _require(
        1 <= options.max_image_pixels <= MAX_PIXELS,
        f"--max_image_pixels must be in 1..{MAX_PIXELS}, which is what "
        f"training can decode, not {options.max_image_pixels}.",
    )
    _require(
        options.num_workers >= 0,
        f"--num_workers must be >= 0, not {options.num_workers}.",
    )


def _check_origins(options: BuildOptions) -> None:
    """Checks that what says where images come from is complete."""
    train = (options.train_directory, options.train_csv_path)
    test = (options.test_directory, options.test_csv_path)
    own = (options.class_folders_directory, options.labelled_csv_path)
    _require(
        all(train) or not any(train),
        "--train_directory and --train_csv_path must be given together.",
    )
    _require(
        all(test) or not any(test),
        "--test_directory and --test_csv_path must be given together.",
    )
    _require(
        all(train) or not options.train_clean_csv_path,
        "--train_clean_csv_path needs --train_csv_path and --train_directory.",
    )
    _require(
        all(train) or not options.drop_landmarks,
        "--drop_landmarks needs --train_csv_path and --train_directory: own "
        "data have no landmark ids.",
    )
    _require(
        sum(bool(given) for given in (*own, any(train))) <= 1,
        "Give one of --train_directory, --class_folders_directory and "
        "--labelled_csv_path.",
    )
    _require(
        bool(options.labelled_csv_path) or not options.images_directory,
        "--images_directory needs --labelled_csv_path.",
    )
    _require(
        any(own) or any(train) or any(test),
        "Nothing to build: give --train_directory and --train_csv_path, or "
        "--class_folders_directory, or --labelled_csv_path, or "
        "--test_directory and --test_csv_path.",
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)
