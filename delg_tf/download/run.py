"""Whole data sets: downloaded, or looked over."""

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import threading
from collections.abc import Iterator, Sequence

import filelock
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress
from delg_tf.download.place import PlaceOptions, Placer
from delg_tf.download.plan import Pending, check_disk_space, make_plan
from delg_tf.download.selection import find_data_sets, select_files
from delg_tf.download.table import DOWNLOADS, DataSet, RemoteFile
from delg_tf.download.transfer import TransferOptions

# Bytes of the unit that the progress bar counts.
_UNIT = 1_000_000


@dataclasses.dataclass(frozen=True)
class DownloadResult:
    """What a download has done.

    Attributes:
        placed: names of files that were put in place now.
        unchecked: those of them for which no checksum is published.
        present: number of files that were in place before.
    """

    placed: Sequence[str]
    unchecked: Sequence[str]
    present: int


def download(
    names: str | Sequence[str],
    data_dir: PathLike,
    mirror: str | None = None,
    *,
    parts: frozenset[int] | None = None,
    only: str | None = None,
    jobs: int = 4,
    keep_archives: bool = False,
    ignore_checksums: bool = False,
    overwrite: bool = False,
    transfer: TransferOptions | None = None,
) -> DownloadResult:
    """Downloads data sets into the layout that the evaluations read.

    What is in place stays, and what was cut off goes on. Files of which one
    cannot be had do not keep the others from coming.

    Args:
        names: of data sets (`sources.DATA_SETS`, `sources.GROUPS`).
        data_dir: the data folder; it is created.
        mirror: another server, see `plan.mirrored`.
        parts: numbers of archives, see `selection.select_files`.
        only: pattern of names, see `selection.select_files`.
        jobs: files that are downloaded at a time.
        keep_archives: whether archives stay in `downloads/`.
        ignore_checksums: whether a wrong checksum is a warning only.
        overwrite: whether other content in the place of a file is replaced.
        transfer: when an attempt is given up; None: as it is by default.

    Returns:
        What was done.

    Raises:
        InputError: an unknown data set, one to be had by hand only, too little
            room, another download into this folder, or files that could not
            be had; the message names each one.
    """
    data_sets, files = _chosen(names, parts, only)
    for data_set in data_sets:
        logging.info(
            "%s: %s. Licence: %s. Checksums: %s.",
            data_set.name,
            data_set.page,
            data_set.licence,
            data_set.checksums,
        )
    data_dir = pathlib.Path(data_dir)
    (data_dir / DOWNLOADS).mkdir(parents=True, exist_ok=True)
    transfer = transfer or TransferOptions()
    options = PlaceOptions(
        mirror, keep_archives, ignore_checksums, overwrite, transfer
    )
    with _alone(data_dir):
        plan = make_plan(files, data_dir, mirror, transfer)
        if not plan:
            return DownloadResult((), (), len(files))
        check_disk_space(plan, data_dir, jobs, keep_archives)
        placed, unchecked, failures = _place_all(plan, data_dir, options, jobs)
    if failures:
        raise InputError(_describe(failures, data_sets, data_dir))
    return DownloadResult(placed, unchecked, len(files) - len(plan))


def _chosen(
    names: str | Sequence[str], parts: frozenset[int] | None, only: str | None
) -> tuple[tuple[DataSet, ...], tuple[RemoteFile, ...]]:
    names = [names] if isinstance(names, str) else names
    data_sets = find_data_sets(names)
    for data_set in data_sets:
        if data_set.by_hand:
            raise InputError(
                f"{data_set.name} cannot be downloaded by a program.\n"
                f"  page: {data_set.page}\n  licence: {data_set.licence}\n"
                f"  {data_set.by_hand}"
            )
    return data_sets, select_files(data_sets, parts, only)


@contextlib.contextmanager
def _alone(data_dir: pathlib.Path) -> Iterator[None]:
    """Keeps a second download out of the folder."""
    lock = filelock.FileLock(data_dir / DOWNLOADS / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(
            f"Another download into {data_dir} is running."
        ) from error
    try:
        yield
    finally:
        lock.release()


class _Megabytes:
    """Counts bytes of many threads in the units of a progress bar."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._lock = threading.Lock()
        self._rest = 0

    def __call__(self, size: int) -> None:
        with self._lock:
            whole, self._rest = divmod(self._rest + size, _UNIT)
            if whole:
                self._progress.advance(whole)


def _place_all(
    plan: Sequence[Pending],
    data_dir: pathlib.Path,
    options: PlaceOptions,
    jobs: int,
) -> tuple[list[str], list[str], dict[str, str]]:
    """Places all files; returns those placed, unchecked, and failures."""
    total = sum(pending.size or 0 for pending in plan) // _UNIT
    present = sum(pending.present for pending in plan) // _UNIT
    stop = threading.Event()
    placed, unchecked, failures = [], [], {}
    with (
        Progress(total, "Download", "MB", present) as progress,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        placer = Placer(data_dir, options, _Megabytes(progress), stop)
        futures = {pool.submit(placer.place, p): p for p in plan}
        try:
            for future in concurrent.futures.as_completed(futures):
                file = futures[future].file
                try:
                    receipt = future.result()
                except InputError as error:
                    logging.error("%s", error)
                    failures[file.url] = str(error)
                    continue
                placed.append(file.name)
                if receipt.checked_by is None:
                    unchecked.append(file.name)
        except BaseException:
            # A full disk, Ctrl-C. What has come stays, for the next run.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return placed, unchecked, failures


def _describe(
    failures: dict[str, str],
    data_sets: Sequence[DataSet],
    data_dir: pathlib.Path,
) -> str:
    lines = [f"{len(failures)} files could not be had:"]
    lines += [f"  {text}" for text in failures.values()]
    lines.append("What has come stays. By hand:")
    for data_set in data_sets:
        for file in data_set.files:
            if file.url in failures:
                lines.append(
                    f"  {file.name}: from {data_set.page} to "
                    f"{file.kept_in(data_dir)}, then run this again."
                )
    return "\n".join(dict.fromkeys(lines))
