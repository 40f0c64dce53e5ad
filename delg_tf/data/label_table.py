"""Labels of images in any of the CSV files that list them."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.csv_rows import read_header, read_rows
from delg_tf.data.gldv2_csv import read_clean_csv, read_train_csv
from delg_tf.data.labelled_csv import read_labelled_csv, sorted_labels


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """Labels of N images, found by identifier.

    Attributes:
        ids: bytes ("S") [N], distinct, sorted.
        labels: int64 [N], positions in `classes`.
        classes: names of the classes, distinct.
    """

    ids: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]

    def find(self, ids: Sequence[bytes]) -> np.ndarray:
        """Returns labels of images.

        Args:
            ids: of M images.

        Returns:
            int64 [M]; -1 for an image that is not listed.
        """
        wanted = np.array(ids, dtype=np.bytes_)
        places = np.searchsorted(self.ids, wanted)
        places = np.minimum(places, len(self.ids) - 1)
        return np.where(self.ids[places] == wanted, self.labels[places], -1)


def read_label_table(path: str | os.PathLike) -> LabelTable:
    """Reads a CSV file with labels; its header tells which kind it is.

    Kinds are `id,url,landmark_id` (train.csv of GLDv2), `landmark_id,images`
    (train_clean.csv), `id,label`, and `path,label`, where the identifier is
    the path without its ending, as features are named. Other columns are not
    used.

    Raises:
        InputError: the file is missing, of another kind, or wrong in a line,
            or lists an image under two labels.
    """
    header = set(read_header(path))
    if header >= {"id", "landmark_id"} or header >= {"landmark_id", "images"}:
        read = read_train_csv if "id" in header else read_clean_csv
        table = read(path)
        landmarks, labels = np.unique(table.labels, return_inverse=True)
        return _sorted(table.ids, labels, [str(i) for i in landmarks.tolist()])
    if header >= {"id", "label"}:
        known = _read_ids(path)
    elif header >= {"path", "label"}:
        listed = read_labelled_csv(path)
        known = {
            os.path.splitext(image)[0]: label
            for image, label in zip(listed.paths, listed.labels)
        }
    else:
        raise InputError(
            f"{path}, line 1: no known kind of label file. The header must "
            "name id and landmark_id, landmark_id and images, id and label, "
            "or path and label."
        )
    classes = sorted_labels(set(known.values()))
    number = {name: i for i, name in enumerate(classes)}
    ids = np.array([os.fsencode(name) for name in known])
    labels = np.array([number[label] for label in known.values()])
    return _sorted(ids, labels, classes)


def _read_ids(path: str | os.PathLike) -> dict[str, str]:
    known: dict[str, str] = {}
    for line, (name, label) in read_rows(path, ("id", "label")):
        name, label = name.strip(), label.strip()
        if not name or not label:
            raise InputError(f"{path}, line {line}: the id or label is empty.")
        first = known.setdefault(name, label)
        if first != label:
            raise InputError(
                f"{path}, line {line}: image {name} has label {label!r}, but "
                f"{first!r} before. Remove one of them."
            )
    if not known:
        raise InputError(f"{path} lists no images: there is only a header.")
    return known


def _sorted(
    ids: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> LabelTable:
    order = np.argsort(ids, kind="stable")
    return LabelTable(ids[order], labels[order].astype(np.int64), classes)
