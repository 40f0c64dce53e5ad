"""What a data set is made of: images with labels, from CSVs or folders."""

import dataclasses
import os
import pathlib

import numpy as np
from absl import logging

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.data import gldv2_csv, image_files, labelled_csv
from delg_tf.data.class_list import ClassList
from delg_tf.data.image_files import FileTable
from delg_tf.data.landmark_list import drop_landmarks

# How landmark ids become labels.
RELABEL_MODES = ("auto", "raw", "listed", "present")

NO_FILE = "no file with this id"
NO_FILE_AT_PATH = "no file at this path"
NOT_AN_IMAGE = "not an image file in a class folder"


@dataclasses.dataclass(frozen=True)
class Source:
    """Images of one origin.

    Attributes:
        images: the files that exist, [N].
        labels: int64 [N]; None for images without labels.
        num_classes: labels lie in [0, num_classes); 0 without labels.
        class_names: what each label was called before (landmark ids or
            folder names), by label; None where labels are landmark ids.
        skipped: identifiers, bytes or str, that cannot be used, by reason.
        class_list: what the classes are; None for images without labels.
        dropped: images of each landmark that was to be left out; None if
            none was.
    """

    images: FileTable
    labels: np.ndarray | None
    num_classes: int
    class_names: list[str] | None
    skipped: dict[str, np.ndarray | list[str]]
    class_list: ClassList | None = None
    dropped: dict[int, int] | None = None


def gldv2_training(
    directory: str | os.PathLike,
    train_csv: str | os.PathLike,
    clean_csv: str | os.PathLike | None = None,
    relabel: str = "auto",
    drop_list: str | os.PathLike | None = None,
) -> Source:
    """Returns the training images of Google Landmarks v2.

    Args:
        directory: the images; see `image_files.find_by_id`.
        train_csv: columns id and landmark_id.
        clean_csv: columns landmark_id and images; only its images are used.
        relabel: "raw" keeps landmark ids, classes are 0..highest id;
            "listed" numbers the landmarks of the CSV 0..K-1 in ascending
            order; "present" numbers only those with an image on disk, for
            partial downloads; "auto" is the official choice, "listed" with
            the clean CSV and "raw" without it.
        drop_list: file of landmarks that are left out before labels are
            given; see `landmark_list.read_landmarks`.

    Raises:
        InputError: a CSV or the list is wrong, or no image is left.
    """
    if relabel not in RELABEL_MODES:
        raise ValueError(
            f"`relabel` must be in {RELABEL_MODES}. Received: {relabel!r}."
        )
    table = gldv2_csv.read_train_csv(train_csv)
    if clean_csv:
        clean = gldv2_csv.read_clean_csv(clean_csv)
        _check_same_landmarks(table, clean)
        table = clean
    dropped = None
    if drop_list:
        table, dropped = drop_landmarks(table, drop_list)
    if relabel == "auto":
        relabel = "listed" if clean_csv else "raw"
    found, exists = _existing(directory, table)
    if relabel == "raw":
        labels, names = table.labels[exists], None
        num_classes = int(table.labels.max()) + 1
        _warn_of_sparse_labels(table.labels, num_classes)
    else:
        counted = table.labels[exists] if relabel == "present" else table.labels
        landmarks = np.unique(counted)
        labels = np.searchsorted(landmarks, table.labels[exists])
        names, num_classes = [str(i) for i in landmarks], len(landmarks)
    listed = np.unique(table.labels).astype(str).tolist()
    return Source(
        found,
        labels.astype(np.int64),
        num_classes,
        names,
        {NO_FILE: table.ids[~exists]},
        ClassList.of(listed, len(table), dropped),
        dropped,
    )


def gldv2_test(
    directory: str | os.PathLike, test_csv: str | os.PathLike
) -> Source:
    """Returns images without labels, listed in test.csv or index.csv.

    Raises:
        InputError: the CSV is wrong, or none of its images exists.
    """
    table = gldv2_csv.read_test_csv(test_csv)
    found, exists = _existing(directory, table)
    return Source(found, None, 0, None, {NO_FILE: table.ids[~exists]})


def class_folders(directory: str | os.PathLike) -> Source:
    """Returns the images of `class_name/*.jpg` folders, labels by name.

    Raises:
        InputError: there is no image in a class folder.
    """
    found, names, labels, others = image_files.find_by_class(directory)
    classes = ClassList.of(names, len(labels), landmarks=False)
    skipped = {NOT_AN_IMAGE: others}
    return Source(found, labels, len(names), names, skipped, classes)


def labelled_list(
    csv_path: str | os.PathLike,
    directory: str | os.PathLike | None = None,
    relabel: str = "auto",
) -> Source:
    """Returns the images of a CSV with the columns path and label.

    Args:
        csv_path: the CSV file; labels are any strings.
        directory: what relative paths start from; None: the CSV's folder.
        relabel: "listed" numbers all labels of the CSV, in the order of
            `labelled_csv.sorted_labels`; "present" only those with an image
            on disk; "auto" is "listed".

    Raises:
        InputError: the CSV is wrong, or none of its images exists; or
            `relabel` is "raw".
    """
    if relabel == "raw":
        raise InputError(
            "--relabel=raw is for landmark ids. Labels of --labelled_csv_path "
            "are numbered; relabeling.csv says how."
        )
    listed = labelled_csv.read_labelled_csv(csv_path)
    root = files.existing_directory(
        directory or pathlib.Path(csv_path).parent, "image directory"
    )
    table, exists = image_files.find_by_path(root, listed.paths)
    if not exists.any():
        raise InputError(
            f"None of the {len(listed.paths)} images of {csv_path} exists. "
            f"The first one is expected as {root / listed.paths[0]}; "
            "--images_directory says what relative paths start from."
        )
    of_image = [listed.labels[i] for i in np.flatnonzero(exists)]
    named = of_image if relabel == "present" else listed.labels
    names = labelled_csv.sorted_labels(set(named))
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[name] for name in of_image], np.int64)
    missing = [listed.paths[i] for i in np.flatnonzero(~exists)]
    listed_names = list(set(listed.labels))
    classes = ClassList.of(listed_names, len(listed.paths), landmarks=False)
    skipped = {NO_FILE_AT_PATH: missing}
    return Source(table, labels, len(names), names, skipped, classes)


def _existing(
    directory: str | os.PathLike, table: gldv2_csv.Table
) -> tuple[FileTable, np.ndarray]:
    """Returns the files that exist and which rows they are, bool [N]."""
    logging.info("Looking for %d images in %s.", len(table), directory)
    found = image_files.find_by_id(directory, table.ids)
    exists = found.paths != b""
    if not exists.any():
        name = table.ids[0].decode(errors="replace")
        raise InputError(
            f"None of the {len(table)} images of {table.path} is in "
            f"{found.root}. The first one is expected as "
            f"{found.root}/{'/'.join(name[:3])}/{name}.jpg or as "
            f"{found.root}/{name}.jpg."
        )
    return found.take(exists), exists


def _check_same_landmarks(
    train: gldv2_csv.Table, clean: gldv2_csv.Table
) -> None:
    """Refuses a clean list that contradicts train.csv."""
    order = np.argsort(train.ids)
    rows = np.searchsorted(train.ids, clean.ids, sorter=order)
    rows = order[np.minimum(rows, len(order) - 1)]
    known = train.ids[rows] == clean.ids
    wrong = np.flatnonzero(known & (train.labels[rows] != clean.labels))
    if wrong.size:
        i, row = wrong[0], rows[wrong[0]]
        raise InputError(
            f"{clean.path}, line {clean.lines[i]}: image "
            f"{clean.ids[i].decode()} has landmark_id {clean.labels[i]}, but "
            f"{train.labels[row]} in {train.path}, line {train.lines[row]}. "
            "The two files must belong together."
        )
    if not known.any():
        raise InputError(
            f"No image of {clean.path} is listed in {train.path}. The two "
            "files must belong together."
        )
    if not known.all():
        # Their landmark is known all the same, so they are used.
        logging.warning(
            "%d of %d images of %s are not listed in %s.",
            np.count_nonzero(~known),
            len(clean),
            clean.path,
            train.path,
        )


def _warn_of_sparse_labels(labels: np.ndarray, num_classes: int) -> None:
    used = len(np.unique(labels))
    if num_classes > 10 * used:
        logging.warning(
            "Labels are landmark ids up to %d, but there are only %d "
            "landmarks; --relabel=listed numbers them without gaps.",
            num_classes - 1,
            used,
        )
