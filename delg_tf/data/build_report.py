"""What a build leaves beside the record files."""

import csv
import pathlib

from absl import logging

import delg_tf
from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.data import dataset_info, shards
from delg_tf.data.build_plan import Plan
from delg_tf.data.dataset_info import DatasetInfo, SplitInfo
from delg_tf.data.shard_job import ShardResult
from delg_tf.data.sources import Source

RELABELING = "relabeling.csv"
DROPPED = "dropped_landmarks.csv"


def skipped_path(output: pathlib.Path, name: str) -> pathlib.Path:
    """Returns where the skipped images of a split are listed."""
    return output / f"skipped_{name}.csv"


def write_reports(
    output: pathlib.Path,
    plan: Plan,
    origins: dict[str, Source],
    results: dict[str, ShardResult],
    seed: int,
) -> DatasetInfo:
    """Writes the reports and, at the very end, `dataset_info.json`.

    Args:
        output: directory of the record files.
        plan: what was to be written.
        origins: where it came from, by split.
        results: of all record files, by file name.
        seed: of this build.

    Raises:
        InputError: no image of a split can be decoded.
    """
    splits = {}
    for name, jobs in plan.jobs.items():
        of_split = [results[job.path.name] for job in jobs]
        # Missing images belong to no split yet; they count for training.
        origin = origins.get(name)
        count = _write_skipped(skipped_path(output, name), origin, of_split)
        images = sum(result.images for result in of_split)
        if not images:
            raise InputError(
                f"None of the {sum(len(job.images) for job in jobs)} images "
                f"for {name} can be decoded; {skipped_path(output, name)} "
                "lists the reasons. Replace or remove these files."
            )
        splits[name] = SplitInfo(images, len(jobs), count)
        if count:
            logging.warning(
                "%s: %d images skipped, see %s.",
                name,
                count,
                skipped_path(output, name),
            )
    if plan.class_names is not None:
        with files.atomic_write(output / RELABELING, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["new_label", "old_label"])
            writer.writerows(
                (label, files.readable(name))
                for label, name in enumerate(plan.class_names)
            )
    train = origins.get(shards.TRAIN)
    _write_dropped(output / DROPPED, train and train.dropped)
    info = DatasetInfo(
        num_classes=plan.num_classes,
        splits=splits,
        relabeled=plan.class_names is not None,
        seed=seed,
        validation_split_size=plan.validation_split_size,
        source_hash=str(plan.identity["source_hash"]),
        created_by=f"delg-tf {delg_tf.__version__}",
        class_list=train and train.class_list,
    )
    dataset_info.save_dataset_info(output, info)
    return info


def _write_dropped(path: pathlib.Path, dropped: dict[int, int] | None) -> None:
    """Lists the landmarks that were left out; 0 images: it is not listed."""
    if dropped is None:
        path.unlink(missing_ok=True)
        return
    with files.atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["landmark_id", "images"])
        writer.writerows(dropped.items())


def _write_skipped(
    path: pathlib.Path, origin: Source | None, results: list[ShardResult]
) -> int:
    """Lists the images that are not in a split; returns their number."""
    count = 0
    with files.atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "path", "reason"])
        for reason, names in (origin.skipped if origin else {}).items():
            for name in names:
                writer.writerow([files.readable(name), "", reason])
                count += 1
        for result in results:
            writer.writerows(result.skipped)
            count += len(result.skipped)
    return count
