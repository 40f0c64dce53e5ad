"""`dataset_info.json`: what a directory of records holds."""

import dataclasses
import os
import pathlib
from typing import Any

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.data.class_list import ClassList

FILE_NAME = "dataset_info.json"


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """One split.

    Attributes:
        images: number of records.
        shards: number of files.
        skipped: number of missing and corrupt images, which the file
            `skipped_<split>.csv` lists.
    """

    images: int
    shards: int
    skipped: int


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A complete data set; see `load_dataset_info`.

    Attributes:
        num_classes: labels lie in [0, num_classes); 0 if there is only a test
            split.
        splits: by name, "train", "validation", "test".
        relabeled: whether `relabeling.csv` gives the old names of labels.
        seed: of the shuffling and of the split.
        validation_split_size: part of each class in the validation split;
            None without one.
        source_hash: SHA-256 over the images' ids, labels, paths and sizes in
            the order of the records.
        created_by: name and version of the program.
        class_list: what the classes are; None if there is only a test split,
            and in data sets of earlier versions.
    """

    num_classes: int
    splits: dict[str, SplitInfo]
    relabeled: bool
    seed: int
    validation_split_size: float | None
    source_hash: str
    created_by: str
    class_list: ClassList | None = None


def save_dataset_info(directory: str | os.PathLike, info: DatasetInfo) -> None:
    """Writes `dataset_info.json`, which also says: this set is complete."""
    files.write_json(
        pathlib.Path(directory) / FILE_NAME, dataclasses.asdict(info)
    )


def load_dataset_info(directory: str | os.PathLike) -> DatasetInfo:
    """Reads the description of a directory of records.

    Raises:
        InputError: the file is missing (the build has not been finished) or
            damaged.
    """
    path = pathlib.Path(directory) / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: {directory} is no data set of "
            "tools/build_tfrecords.py, or its build was not finished. Run the "
            "tool (again)."
        )
    content = files.read_json(path)
    try:
        return _parse(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {error}). Run "
            "tools/build_tfrecords.py again."
        ) from error


def class_list_of_records(
    directory: str | os.PathLike,
) -> dict[str, Any] | None:
    """Returns what a directory of records says about its classes.

    Args:
        directory: of the records.

    Returns:
        The fields of `ClassList`; None where it does not say, as a data set
        of an earlier version, or of another program.
    """
    try:
        info = load_dataset_info(directory)
    except InputError:
        return None
    return info.class_list and dataclasses.asdict(info.class_list)


def _parse(content: dict[str, Any]) -> DatasetInfo:
    values = {
        field.name: content[field.name]
        for field in dataclasses.fields(DatasetInfo)
        if field.name != "class_list"
    }
    if classes := content.get("class_list"):
        values["class_list"] = ClassList(**classes)
    values["splits"] = {
        name: SplitInfo(**split) for name, split in values["splits"].items()
    }
    if type(values["num_classes"]) is not int or values["num_classes"] < 0:
        raise TypeError(f"num_classes is {values['num_classes']!r}")
    return DatasetInfo(**values)
