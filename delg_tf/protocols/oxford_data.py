"""Old Oxford5k and Paris6k, and data of one's own in their format."""

import pathlib
from collections.abc import Sequence

from delg_tf.data.oxford import list_index_names, load_oxford_ground_truth
from delg_tf.protocols.data_set import OXFORD, RetrievalDataSet
from delg_tf.protocols.locations import first_folder
from delg_tf.protocols.revisited_data import IMAGE_FOLDERS, labelled_images


def open_oxford(
    name: str,
    truth: pathlib.Path,
    folders: Sequence[pathlib.Path],
    remedy: str,
) -> RetrievalDataSet:
    """Opens a folder of labels in text files, and the images.

    Args:
        name: of the data set.
        truth: folder of `*_query.txt`, `*_good.txt`, `*_ok.txt`, `*_junk.txt`.
        folders: in the first of these that has one is the image folder, all
            of whose images are the index.
        remedy: what to do if something is missing, a sentence.

    Raises:
        InputError: something is missing or damaged.
    """
    images = first_folder(
        [folder / part for folder in folders for part in IMAGE_FOLDERS],
        f"image folder of {name}",
        remedy,
    )
    labels = load_oxford_ground_truth(truth, list_index_names(images))
    sources = sorted(truth.glob("*.txt"))
    return labelled_images(name, OXFORD, labels, images, sources, remedy)
