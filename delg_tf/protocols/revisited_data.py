"""Revisited Oxford and Paris, and data of one's own in their format."""

import pathlib

from delg_tf.data.revisited import RevisitedGroundTruth, load_ground_truth
from delg_tf.extraction.image_list import ImageItem
from delg_tf.protocols.data_set import REVISITED, ImageSet, RetrievalDataSet
from delg_tf.protocols.locations import (
    ImageFolder,
    first_folder,
    missing,
    require_images,
)

_SUFFIXES = (".pkl", ".mat")
IMAGE_FOLDERS = ("jpg", "images")


def open_revisited(
    name: str, folder: pathlib.Path, remedy: str
) -> RetrievalDataSet:
    """Opens the data set in a folder with `gnd*.pkl` or `.mat`, and images.

    Args:
        name: of the data set.
        folder: where it is.
        remedy: what to do if something is missing, a sentence.

    Raises:
        InputError: something is missing or damaged, or there are several
            ground truths.
    """
    path = find_ground_truth(folder, remedy)
    images = first_folder(
        [folder / part for part in IMAGE_FOLDERS],
        f"image folder of {name}",
        remedy,
    )
    truth = load_ground_truth(path)
    return labelled_images(name, REVISITED, truth, images, [path], remedy)


def find_ground_truth(folder: pathlib.Path, remedy: str) -> pathlib.Path:
    """Returns the ground truth in a folder; .pkl before .mat of one name.

    Raises:
        InputError: there is none, or there are several.
    """
    found = {
        path.stem: path
        for suffix in reversed(_SUFFIXES)
        for path in sorted(folder.glob(f"gnd*{suffix}"))
    }
    if not found:
        raise missing("ground truth", folder / "gnd_*.pkl or .mat", remedy)
    if len(found) > 1:
        names = ", ".join(path.name for path in found.values())
        raise missing(
            "ground truth to use",
            folder,
            f"There are several: {names}. Leave one in the folder.",
        )
    return next(iter(found.values()))


def labelled_images(
    name: str,
    protocol: str,
    truth: RevisitedGroundTruth,
    images: pathlib.Path,
    sources: list[pathlib.Path],
    remedy: str,
) -> RetrievalDataSet:
    """Puts labels and the images of one folder together.

    Args:
        name: of the data set.
        protocol: how results are measured.
        truth: the labels; queries are images of the same folder.
        images: the folder.
        sources: files of the labels.
        remedy: what to do if images are missing, a sentence.

    Raises:
        InputError: images are missing.
    """
    files = ImageFolder(images)
    queries = [
        ImageItem(query_name, files.file_of(query_name), query.bbx)
        for query_name, query in zip(truth.query_names, truth.queries)
    ]
    index = [ImageItem(i, files.file_of(i)) for i in truth.index_names]
    require_images(queries, f"query images of {name}", remedy)
    require_images(index, f"index images of {name}", remedy)
    plain = pathlib.Path(name).name
    return RetrievalDataSet(
        name,
        protocol,
        ImageSet(f"{plain}_query", queries),
        [ImageSet(f"{plain}_index", index)],
        truth,
        sources,
        images,
        images,
    )
