"""The million distractors (R1M) that make an index large.

They are wrong answers to every query of Revisited Oxford and Paris. Source:
Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018; the list holds
paths below `jpg`, as the official `revisitop1m.txt` does.
"""

import dataclasses
import pathlib

from delg_tf.extraction.image_list import ImageItem, images_in_list
from delg_tf.protocols.data_set import ImageSet, RetrievalDataSet
from delg_tf.protocols.locations import missing, require_images

FOLDER = "revisitop1m"


def with_distractors(
    data_set: RetrievalDataSet, data_dir: pathlib.Path, remedy: str
) -> RetrievalDataSet:
    """Adds the distractors to the index, after the ground truth's images.

    Their names begin with "revisitop1m/", so that they are like no others.

    Args:
        data_set: whose index grows.
        data_dir: the data folder.
        remedy: what to do if they are missing, a sentence.

    Raises:
        InputError: they are missing.
    """
    folder = data_dir / FOLDER
    listed = folder / f"{FOLDER}.txt"
    if not listed.is_file():
        raise missing("list of the distractors", listed, remedy)
    items = [
        ImageItem(f"{FOLDER}/{item.name}", item.path)
        for item in images_in_list(listed, folder / "jpg")
    ]
    require_images(items, "distractors", remedy)
    part = ImageSet(FOLDER, items)
    return dataclasses.replace(
        data_set,
        name=f"{data_set.name}+r1m",
        index=[*data_set.index, part],
        num_distractors=len(items),
    )
