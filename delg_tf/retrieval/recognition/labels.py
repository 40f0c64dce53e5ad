"""Classes of the images of an index."""

import dataclasses
import os
import posixpath
from collections.abc import Sequence

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.data.label_table import read_label_table


@dataclasses.dataclass(frozen=True, eq=False)
class IndexLabels:
    """Classes of the N images of an index.

    Attributes:
        labels: int64 [N], positions in `classes`; -1 for an image without.
        classes: names of the classes.
    """

    labels: np.ndarray
    classes: Sequence[str]


def read_index_labels(
    path: PathLike, index_names: Sequence[str]
) -> IndexLabels:
    """Reads the classes of index images.

    An image is looked for by its name and, if that is not listed, by the last
    part of it: GLDv2 keeps image abc... in the folders a/b/c.

    Args:
        path: CSV file; see `read_label_table`.
        index_names: names of the images.

    Raises:
        InputError: the file is wrong, knows no image of the index, or has a
            class whose name holds a blank, which predictions cannot hold.
    """
    table = read_label_table(path)
    for name in table.classes:
        if name.split() != [name]:
            raise InputError(
                f"{path}: {name!r} cannot be a class of predictions, which "
                "hold no blanks. Rename it."
            )
    labels = table.find([os.fsencode(name) for name in index_names])
    others = np.flatnonzero(labels < 0)
    if len(others):
        labels[others] = table.find(
            [os.fsencode(posixpath.basename(index_names[i])) for i in others]
        )
    missing = np.flatnonzero(labels < 0)
    if len(missing) == len(index_names):
        raise InputError(
            f"{path} has no label of any of the {len(index_names)} images of "
            f"the index, the first of which is {index_names[0]!r}."
        )
    if len(missing):
        logging.warning(
            "%d of %d index images have no label and do not vote; the first "
            "is %s.",
            len(missing),
            len(index_names),
            index_names[missing[0]],
        )
    return IndexLabels(labels, table.classes)
