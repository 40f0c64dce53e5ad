"""What the classes of a training are called."""

import csv
import os
import pathlib
from collections.abc import Sequence

from absl import logging

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.data.build_report import RELABELING

# A label a line; the line's place, from 0, is the class.
FILE_NAME = "class_labels.txt"


def labels_of_records(folder: str | os.PathLike, num_classes: int) -> list[str]:
    """The names that the classes of a data set had before they were numbered.

    Args:
        folder: of the records.
        num_classes: of the network.

    Returns:
        A name a class: by the folder's `relabeling.csv`; without one that
        fits, the numbers themselves.
    """
    numbers = [str(label) for label in range(num_classes)]
    path = pathlib.Path(folder) / RELABELING
    if not path.is_file():
        return numbers
    try:
        with path.open(encoding="utf-8", newline="") as file:
            named = {
                int(row["new_label"]): row["old_label"]
                for row in csv.DictReader(file)
            }
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        logging.warning("%s is damaged, it is not used: %s", path, error)
        return numbers
    if not named.keys() <= set(range(num_classes)):
        logging.warning("%s names other classes; it is not used.", path)
        return numbers
    return [named.get(int(number), number) for number in numbers]


def save_labels(directory: str | os.PathLike, labels: Sequence[str]) -> None:
    """Writes `class_labels.txt`; a name's line breaks become spaces."""
    with files.atomic_write(pathlib.Path(directory) / FILE_NAME, "w") as file:
        file.writelines(" ".join(label.splitlines()) + "\n" for label in labels)


def load_labels(
    directory: str | os.PathLike, num_classes: int
) -> list[str] | None:
    """Reads `class_labels.txt`.

    Args:
        directory: where it lies.
        num_classes: how many there must be.

    Returns:
        The labels; None if there is no such file.

    Raises:
        InputError: there are more or fewer.
    """
    path = pathlib.Path(directory) / FILE_NAME
    if not path.is_file():
        return None
    labels = path.read_text(encoding="utf-8").split("\n")[:-1]
    if len(labels) != num_classes:
        raise InputError(
            f"{path} has {len(labels)} labels, the network {num_classes} "
            "classes. Remove the file, or restore it."
        )
    return labels
