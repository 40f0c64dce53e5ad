"""The folder of a run's results: one run, never replaced silently."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.common.files import read_json, refuse_existing, write_json
from delg_tf.evaluation.provenance import now

RUN_FILE = "run.json"


def claim_folder(
    folder: pathlib.Path,
    settings: Mapping[str, Any],
    files: Sequence[str],
    overwrite: bool,
) -> str:
    """Makes a folder the place of one run, or goes on with it.

    Args:
        folder: made if it is missing.
        settings: all that results depend on, as JSON holds it.
        files: names of the results.
        overwrite: whether results of other settings are replaced.

    Returns:
        When the run was begun, UTC, ISO 8601.

    Raises:
        InputError: the folder has results of other settings.
    """
    path = folder / RUN_FILE
    content = read_json(path) if path.is_file() else None
    if content is None:
        for name in files:
            refuse_existing(folder / name, overwrite)
    elif content.get("settings") == settings:
        return content["started"]
    elif not overwrite:
        before = content.get("settings") or {}
        names = sorted({*settings, *before})
        other = [n for n in names if settings.get(n) != before.get(n)]
        raise InputError(
            f"{folder} has results of other settings: {', '.join(other)} (see "
            f"{path}). Choose another --output_dir, or pass --overwrite."
        )
    started = now()
    write_json(path, {"started": started, "settings": settings})
    return started
