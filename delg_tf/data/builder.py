"""Builds a data set of records: plan, write what is missing, describe."""

import dataclasses
import pathlib
import time

from delg_tf.common import files
from delg_tf.common.errors import InputError
from delg_tf.common.progress import Progress
from delg_tf.data import (
    build_plan,
    build_report,
    dataset_info,
    shard_job,
    shards,
)
from delg_tf.data.build_options import BuildOptions, check_options
from delg_tf.data.build_plan import Plan
from delg_tf.data.class_list import OTHER
from delg_tf.data.dataset_info import DatasetInfo
from delg_tf.data.shard_job import ShardResult
from delg_tf.parallel.base import ShardRunner
from delg_tf.parallel.choice import make_runner
from delg_tf.parallel.machine import available_cores
from delg_tf.parallel.threads import ThreadRunner

PLAN = pathlib.Path(shard_job.STATE_DIRECTORY) / "plan.json"


@dataclasses.dataclass(frozen=True)
class BuildSummary:
    """What a build did.

    Attributes:
        info: the data set, as in `dataset_info.json`.
        built: record files written now.
        reused: record files that an earlier run had written.
        converted: images stored as a converted JPEG, in all files.
        seconds: wall time.
    """

    info: DatasetInfo
    built: int
    reused: int
    converted: int
    seconds: float

    def __str__(self) -> str:
        lines = [
            f"{name}: {split.images} images in {split.shards} files, "
            f"{split.skipped} skipped"
            for name, split in self.info.splits.items()
        ]
        if self.info.num_classes:
            lines.append(f"classes: {self.info.num_classes}")
        classes = self.info.class_list
        if classes and classes.name != OTHER:
            lines.append(f"class list: {classes.name}")
        if classes and classes.dropped_landmarks:
            lines.append(
                f"dropped: {classes.dropped_landmarks} landmarks with "
                f"{classes.dropped_images} images, "
                f"{classes.unknown_landmarks} of the list unknown"
            )
        lines.append(f"converted to RGB JPEG: {self.converted}")
        lines.append(
            f"{self.built} files written, {self.reused} reused, "
            f"{self.seconds:.1f} s"
        )
        return "\n".join(lines)


def build(options: BuildOptions) -> BuildSummary:
    """Builds the record files, `relabeling.csv` and `dataset_info.json`.

    A second run with the same inputs writes only the files that are missing.
    Which image belongs into which file is decided before any is decoded, so a
    corrupt image leaves a gap and moves no other one. Only one build at a
    time may use an output directory.

    Args:
        options: see `BuildOptions`.

    Raises:
        InputError: an option, a CSV or a folder is wrong; or the directory
            holds a data set of other inputs and `overwrite` is false; or no
            image of a split can be decoded.
    """
    start = time.monotonic()
    check_options(options)
    runner = _runner(options)
    origins = build_plan.find_sources(options)
    plan = build_plan.make_plan(options, origins)
    output = pathlib.Path(options.output_directory)
    _claim(output, plan, options.overwrite)
    results = {
        job.path.name: result
        for job in plan.all_jobs()
        if (result := shard_job.finished(job))
    }
    reused = len(results)
    results.update(_write_missing(output, plan, results, runner))
    info = build_report.write_reports(
        output, plan, origins, results, options.seed
    )
    return BuildSummary(
        info=info,
        built=len(results) - reused,
        reused=reused,
        converted=sum(result.converted for result in results.values()),
        seconds=time.monotonic() - start,
    )


def _claim(output: pathlib.Path, plan: Plan, overwrite: bool) -> None:
    """Makes the directory ready for this plan, or refuses."""
    known = output / PLAN
    previous = files.read_json(known) if known.is_file() else None
    names = {job.path.name for job in plan.all_jobs()}
    present = [path for path in output.glob("*-of-*") if _is_shard(path)]
    foreign = [path for path in present if path.name not in names]
    same = previous == plan.identity
    if (foreign or (not same and (previous or present))) and not overwrite:
        raise InputError(
            f"{output} holds record files of other inputs"
            f"{_differences(previous, plan.identity)}. Choose another "
            "--output_directory, or pass --overwrite to replace them."
        )
    if not same:
        # The description goes first: without it, the set is incomplete.
        (output / dataset_info.FILE_NAME).unlink(missing_ok=True)
        for report in (build_report.RELABELING, build_report.DROPPED):
            (output / report).unlink(missing_ok=True)
        for name in shards.SPLITS:
            skipped = build_report.skipped_path(output, name)
            skipped.unlink(missing_ok=True)
    for path in foreign:
        path.unlink()
        shard_job.state_path(path).unlink(missing_ok=True)
    # Shards that both data sets share are recognised by their own hashes.
    files.write_json(known, plan.identity)


def _is_shard(path: pathlib.Path) -> bool:
    match = shards.SHARD_NAME.match(path.name)
    return match is not None and match[1] in shards.SPLITS


def _differences(previous: object, identity: dict[str, object]) -> str:
    if not isinstance(previous, dict) or previous == identity:
        return ""
    different = [
        f"{key}: {previous.get(key)!r} there, {value!r} asked for"
        for key, value in identity.items()
        if key != "source_hash" and previous.get(key) != value
    ]
    return f" ({'; '.join(different) or 'the images differ'})"


def _runner(options: BuildOptions) -> ShardRunner:
    # Reading and decoding release the interpreter lock, so that threads use
    # all cores; a process each would import TensorFlow again, seconds and
    # 400 MB apiece.
    threads = ThreadRunner(options.num_workers or available_cores())
    folder = options.output_directory
    return make_runner(options.runner, options.runner_options, folder, threads)


def _write_missing(
    output: pathlib.Path,
    plan: Plan,
    known: dict[str, ShardResult],
    runner: ShardRunner,
) -> dict[str, ShardResult]:
    """Writes the shards that `known` lacks."""
    jobs = plan.all_jobs()
    missing = [job for job in jobs if job.path.name not in known]
    if not missing:
        return {}
    # Imported here: TensorFlow takes seconds, bad input is reported before.
    from delg_tf.data import shard_writer

    (output / dataset_info.FILE_NAME).unlink(missing_ok=True)
    total = sum(len(job.images) for job in jobs)
    done = total - sum(len(job.images) for job in missing)
    with Progress(total, "TFRecords", "image", done) as progress:
        results = runner.run(
            shard_writer.build_shard,
            [job.absolute() for job in missing],
            progress.advance,
        )
    return {job.path.name: result for job, result in zip(missing, results)}
