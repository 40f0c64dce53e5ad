"""The list of images that have no features, with the reasons."""

import csv
import pathlib
from collections.abc import Sequence

from delg_tf.common.files import atomic_write, readable

SKIPPED_FILE = "skipped_images.csv"


def write_skipped(
    path: pathlib.Path, skipped: Sequence[tuple[str, str]]
) -> None:
    """Writes (name, reason) of images; removes the file if there is none."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "reason"])
        writer.writerows((readable(name), reason) for name, reason in skipped)
