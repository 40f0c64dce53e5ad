"""What the runs of a study train on and are measured on."""

import dataclasses
import pathlib

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    atomic_write,
    existing_directory,
    existing_file,
)
from delg_tf.workflow import commands
from delg_tf.workflow.stages import Stage

# Training images of which the demonstration's PCA is learnt.
_PCA_IMAGES = 300


@dataclasses.dataclass(frozen=True)
class StudyData:
    """Data of a study.

    Attributes:
        train_records: glob of the training records.
        validation_records: glob, or None.
        init_checkpoint: pre-trained weights, or None.
        ground_truth: file in the Revisited format, or None.
        images_dir: its images, or None.
        pairs_file: CSV of image pairs, or None: those of the ground truth.
        pairs_images_dir: images of the pairs.
        pca_images: flags that name training images for `local_pca`.
    """

    train_records: str
    validation_records: str | None = None
    init_checkpoint: str | None = None
    ground_truth: pathlib.Path | None = None
    images_dir: pathlib.Path | None = None
    pairs_file: pathlib.Path | None = None
    pairs_images_dir: pathlib.Path | None = None
    pca_images: tuple[str, ...] = ()

    def require(self, retrieval: bool, pairs: bool, pca: bool) -> None:
        """Checks that what is to be measured has its data.

        Args:
            retrieval: searches are evaluated.
            pairs: pairs of images are ranked.
            pca: a PCA is learnt.

        Raises:
            InputError: something is not given, or not there.
        """
        if retrieval or (pairs and not self.pairs_file):
            if not (self.ground_truth and self.images_dir):
                raise InputError(
                    "This study measures retrieval or pairs of images: give "
                    "--dataset_file_path and --images_dir (or, for pairs, "
                    "--pairs_file and --pairs_images_dir)."
                )
            existing_file(self.ground_truth, "ground truth")
            existing_directory(self.images_dir, "image folder")
        if pairs and self.pairs_file:
            existing_file(self.pairs_file, "file of pairs")
            existing_directory(
                self.pairs_images_dir or "", "--pairs_images_dir"
            )
        if pca and not self.pca_images:
            raise InputError(
                "A variant of this study learns a PCA: give --pca_images_dir, "
                "a folder of training images (a thousand will do)."
            )


def demo_stages(folder: pathlib.Path, quick: bool) -> list[Stage]:
    """The stages that make the demonstration's data.

    Args:
        folder: where it goes.
        quick: little of it.
    """
    data, records = folder / "data", folder / "records"
    more = commands.QUICK_DATASET if quick else ()
    return [
        Stage(
            "dataset",
            "Landmark data set",
            (commands.make_dataset(data, 0, *more),),
            (data,),
        ),
        Stage(
            "records",
            "TFRecords",
            (commands.build_records(data, records, 0),),
            (records,),
        ),
    ]


def demo_data(folder: pathlib.Path) -> StudyData:
    """The data that `demo_stages` makes in a folder."""
    data = folder / "data"
    return StudyData(
        str(folder / "records" / "train-*"),
        str(folder / "records" / "validation-*"),
        ground_truth=data / "held_out" / "gnd.pkl",
        images_dir=data / "held_out" / "jpg",
        pca_images=(
            f"--images_dir={data / 'train'}",
            f"--list_images_path={folder / 'pca_images.txt'}",
        ),
    )


def list_pca_images(folder: pathlib.Path) -> None:
    """Lists some of the demonstration's training images, evenly spread."""
    train = folder / "data" / "train"
    images = sorted(path.relative_to(train) for path in train.rglob("*.jpg"))
    step = max(1, len(images) // _PCA_IMAGES)
    with atomic_write(folder / "pca_images.txt", "w") as file:
        file.writelines(f"{path}\n" for path in images[::step])
