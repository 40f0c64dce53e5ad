"""Looks over what is there, byte by byte."""

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Sequence

from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory, sha256
from delg_tf.common.progress import Progress
from delg_tf.download.receipt import Receipt, read_receipt, write_receipt
from delg_tf.download.selection import find_data_sets, select_files
from delg_tf.download.table import RemoteFile


@dataclasses.dataclass(frozen=True)
class VerifyResult:
    """What was found.

    Attributes:
        checked: number of files that are as they were downloaded.
        absent: addresses that were never downloaded to their end.
        missing: files that are gone.
        damaged: files whose bytes have changed, or cannot be read.
        unchecked: addresses whose download was checked by no published
            checksum: what is there is what came.
    """

    checked: int
    absent: Sequence[str]
    missing: Sequence[str]
    damaged: Sequence[str]
    unchecked: Sequence[str]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is to be downloaded (again)."""
        return not (self.absent or self.missing or self.damaged)


def verify(
    names: str | Sequence[str],
    data_dir: PathLike,
    *,
    parts: frozenset[int] | None = None,
    only: str | None = None,
    jobs: int = 4,
) -> VerifyResult:
    """Compares all files with their receipts; asks no server.

    Receipts of what is missing or damaged are marked, so that the next
    download repairs it.

    Args:
        names: of data sets, as for `run.download`.
        data_dir: the data folder.
        parts: as for `run.download`.
        only: as for `run.download`.
        jobs: archives that are looked over at a time.

    Raises:
        InputError: an unknown data set, one that is had by hand, or no such
            folder.
    """
    names = [names] if isinstance(names, str) else names
    files = select_files(find_data_sets(names), parts, only)
    data_dir = existing_directory(data_dir, "data folder")
    receipts = [(file, read_receipt(file, data_dir)) for file in files]
    there = [(f, r) for f, r in receipts if r is not None and r.complete]
    done = {file.url for file, _ in there}
    missing, damaged, checked = [], [], 0
    total = sum(len(receipt.files) for _, receipt in there)
    with (
        Progress(total, "Verification", "file") as progress,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        looked = pool.map(lambda pair: _look(pair[1], data_dir), there)
        for (file, receipt), (gone, bad) in zip(there, looked):
            progress.advance(len(receipt.files), file.name)
            if gone or bad:
                _mark(file, receipt, data_dir)
            missing += gone
            damaged += bad
            checked += len(receipt.files) - len(gone) - len(bad)
    return VerifyResult(
        checked,
        [file.url for file in files if file.url not in done],
        missing,
        damaged,
        [file.url for file, receipt in there if receipt.checked_by is None],
    )


def _look(
    receipt: Receipt, data_dir: pathlib.Path
) -> tuple[list[str], list[str]]:
    missing, damaged = [], []
    for placed in receipt.files:
        path = data_dir / placed.path
        if not path.is_file():
            missing.append(placed.path)
            continue
        try:
            if sha256(path) != placed.sha256:
                damaged.append(placed.path)
        except OSError as error:
            damaged.append(f"{placed.path} ({error})")
    return missing, damaged


def _mark(file: RemoteFile, receipt: Receipt, data_dir: pathlib.Path) -> None:
    try:
        write_receipt(
            file, data_dir, dataclasses.replace(receipt, complete=False)
        )
    except OSError as error:
        logging.warning("The receipt of %s stays: %s", file.name, error)


def report(result: VerifyResult) -> str:
    """Returns the result in words, a line a file.

    Raises:
        InputError: with the same words, if something is missing or damaged.
    """
    lines = [
        *(f"not downloaded: {url}" for url in result.absent),
        *(f"missing: {path}" for path in result.missing),
        *(f"damaged: {path}" for path in result.damaged),
        f"{result.checked} files are as downloaded, {len(result.missing)} "
        f"missing, {len(result.damaged)} damaged; {len(result.absent)} "
        f"downloads to do; {len(result.unchecked)} had no published checksum.",
    ]
    if not result.is_complete:
        lines.append("The same command without --verify repairs this.")
        raise InputError("\n".join(lines))
    return "\n".join(lines)
