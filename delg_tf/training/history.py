"""The run's figures as a file that anything can read and plot."""

import json
import os
import pathlib


class History:
    """Appends one JSON object a line to `<logdir>/history.jsonl`.

    Args:
        logdir: the run's directory.
        first_step: lines of later steps, from a run that was cut off, are
            dropped: this run makes them again.
        is_chief: others write nothing.
    """

    def __init__(
        self,
        logdir: str | os.PathLike,
        first_step: int,
        is_chief: bool = True,
    ):
        self._path = pathlib.Path(logdir) / "history.jsonl"
        self._is_chief = is_chief
        if not is_chief:
            return
        kept = [
            row for row in read_history(logdir) if row["step"] <= first_step
        ]
        self._path.write_text(
            "".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8"
        )

    def add(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Appends figures; `kind` is "train", "validation" or "network"."""
        if not self._is_chief:
            return
        with open(self._path, "a", encoding="utf-8") as file:
            row = {"step": step, "kind": kind, **values}
            file.write(json.dumps(row) + "\n")


def read_history(logdir: str | os.PathLike) -> list[dict]:
    """Reads the lines of `history.jsonl`; a torn last line is left out."""
    path = pathlib.Path(logdir) / "history.jsonl"
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows
