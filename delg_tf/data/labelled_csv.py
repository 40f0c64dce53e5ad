"""Own data listed in a CSV file: path and label of each image."""

import dataclasses
import os
import posixpath

from delg_tf.common.errors import InputError
from delg_tf.data.csv_rows import read_rows


@dataclasses.dataclass(frozen=True)
class LabelledPaths:
    """Images listed in a CSV file, each one once, in the file's order.

    Attributes:
        paths: with the dots resolved (`a/../b.jpg` is `b.jpg`).
        labels: names of their classes, one a path.
    """

    paths: list[str]
    labels: list[str]


def read_labelled_csv(path: str | os.PathLike) -> LabelledPaths:
    """Reads a CSV with the columns path and label; others are not used.

    Labels are any strings; blanks around them do not count.

    Raises:
        InputError: with the line number, for a missing column, a wrong number
            of fields, an empty path or label, or an image that is listed
            under two labels; or the file lists no images.
    """
    known: dict[str, tuple[str, int]] = {}
    for line, (image, label) in read_rows(path, ("path", "label")):
        image, label = image.strip(), label.strip()
        for name, value in (("path", image), ("label", label)):
            if not value:
                raise InputError(f"{path}, line {line}: the {name} is empty.")
        image = posixpath.normpath(image)
        first, first_line = known.setdefault(image, (label, line))
        if first != label:
            raise InputError(
                f"{path}, line {line}: image {image} has label {label!r}, "
                f"but {first!r} in line {first_line}. Remove one of them."
            )
    if not known:
        raise InputError(f"{path} lists no images: there is only a header.")
    return LabelledPaths(list(known), [label for label, _ in known.values()])


def sorted_labels(labels: set[str]) -> list[str]:
    """Returns labels in the order in which they are numbered.

    Whole numbers are ordered as numbers, so that 0..K-1 keep their value;
    other labels by their characters.
    """
    if all(label.isascii() and label.isdigit() for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)
