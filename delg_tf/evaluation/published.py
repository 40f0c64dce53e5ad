"""Numbers that others have published, with their sources; never ours.

`published.csv` has a line a number. A number is worth what its line says: who
read it where (`verification`), and whether queries were cropped. Two papers'
numbers differ also by training data (RGLDv2-clean lacks the landmarks of
Revisited Oxford and Paris), by library versions, and since 2022 by faces that
are blurred in the data sets.
"""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.data.csv_rows import read_rows
from delg_tf.data.revisited import PROTOCOLS

FILE = pathlib.Path(__file__).with_name("published.csv")
# What is known about a number, and what marks it in tables.
VERIFICATIONS = {
    "verified": "read at its source",
    "second-hand": "quoted by others",
    "derived": "worked out from other statements",
    "unverified": "from memory, not looked up",
}
_CROPPED = {"yes": True, "no": False, "": None}
_COLUMNS = (
    "method",
    "backbone",
    "training_data",
    "dataset",
    "protocol",
    "metric",
    "value",
    "source",
    "verification",
    "queries_cropped",
    "note",
)


@dataclasses.dataclass(frozen=True)
class PublishedResult:
    """A published number.

    Attributes:
        method: what was measured, e.g. "DELG re-ranked".
        backbone: of the network; "" if unknown.
        training_data: likewise, e.g. "GLDv2-clean".
        dataset: as runners call it, e.g. "roxford5k+r1m"; "" for costs that
            belong to none.
        protocol: "easy", "medium", "hard", "retrieval", "recognition", or
            what else was measured, e.g. "latency".
        metric: "mAP", "mP@1", "mAP@100", "GAP", ... in percent; of costs,
            the unit.
        value: the number.
        source: where it stands.
        verification: a key of `VERIFICATIONS`.
        queries_cropped: whether queries were cropped to their boxes; None:
            the source does not say.
        note: what one has to know to compare with it.
    """

    method: str
    backbone: str
    training_data: str
    dataset: str
    protocol: str
    metric: str
    value: float
    source: str
    verification: str
    queries_cropped: bool | None
    note: str

    @property
    def name(self) -> str:
        """Method, backbone and training data, as far as they are known."""
        parts = (self.method, self.backbone, self.training_data)
        return ", ".join(part for part in parts if part)

    @property
    def source_text(self) -> str:
        """Source, doubts and note, as a reader must see them."""
        parts = [self.source]
        if self.verification != "verified":
            meaning = VERIFICATIONS[self.verification]
            parts.append(f"{self.verification} ({meaning})")
        if self.note:
            parts.append(self.note)
        return "; ".join(parts)


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """Numbers of one method from one source.

    Attributes:
        name: `PublishedResult.name`, with "†" behind it unless all numbers
            were read at their source.
        values: by column; those that are not published are missing.
        source: source, doubts and notes.
    """

    name: str
    values: dict[str, float]
    source: str


def published_columns(rows: Sequence[PublishedRow]) -> list[str]:
    """Returns the columns of rows; Easy, Medium and Hard come first."""
    found = dict.fromkeys(key for row in rows for key in row.values)
    known = [name for name in PROTOCOLS if name in found]
    return known + [name for name in found if name not in known]


def published_text(value: float | None) -> str:
    """Returns a number with the decimals that papers have, or a dash."""
    if value is None:
        return "-"
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def published(
    dataset: str | None = None,
    protocol: str | None = None,
    metric: str | None = None,
    verified: bool = False,
    path: PathLike = FILE,
) -> list[PublishedResult]:
    """Returns published numbers, in the order of the file.

    Args:
        dataset: those on this data set; None: on all.
        protocol: those under this one; likewise.
        metric: those of this one; likewise.
        verified: only those that were read at their source.
        path: another file of the same form.

    Raises:
        InputError: the file is missing or malformed.
    """
    wanted = {"dataset": dataset, "protocol": protocol, "metric": metric}
    if verified:
        wanted["verification"] = "verified"
    return [
        result
        for result in read_published(path)
        if all(
            value is None or getattr(result, name) == value
            for name, value in wanted.items()
        )
    ]


def published_rows(
    results: Sequence[PublishedResult], column: str = "protocol"
) -> list[PublishedRow]:
    """Lays numbers out as reference lines of a table.

    Args:
        results: all of one metric, or of one protocol.
        column: what the table's columns are, "protocol" or "metric".

    Returns:
        A line for each method and source, in their order.

    Raises:
        ValueError: two numbers of one source are for the same cell.
    """
    groups: dict[tuple, list[PublishedResult]] = {}
    for result in results:
        key = (result.name, result.source, result.queries_cropped)
        groups.setdefault(key, []).append(result)
    rows = []
    for (name, *_), members in groups.items():
        values = {getattr(member, column): member.value for member in members}
        if len(values) < len(members):
            raise ValueError(
                f"`results` must have one number of a method by {column}. "
                f"Received: {len(members)} for {len(values)} of {name}"
            )
        doubtful = any(m.verification != "verified" for m in members)
        cropped = members[0].queries_cropped
        texts = dict.fromkeys(member.source_text for member in members)
        if cropped is not None:
            texts[f"queries {'' if cropped else 'not '}cropped"] = None
        rows.append(
            PublishedRow(f"{name} †" if doubtful else name, values,
                         "; ".join(texts))
        )  # fmt: skip
    return rows


def read_published(path: PathLike = FILE) -> tuple[PublishedResult, ...]:
    """Reads a file of published numbers.

    Args:
        path: CSV file with the columns of `published.csv`.

    Raises:
        InputError: the file is missing or malformed; the message names line
            and field.
    """
    existing_file(path, "file of published numbers")
    return tuple(
        _parse(path, line, row) for line, row in read_rows(path, _COLUMNS)
    )


def _parse(path: PathLike, line: int, row: list[str]) -> PublishedResult:
    values = dict(zip(_COLUMNS, (field.strip() for field in row)))
    try:
        value = float(values["value"])
    except ValueError:
        value = math.nan
    for name, passed in (
        ("value", math.isfinite(value)),
        ("verification", values["verification"] in VERIFICATIONS),
        ("queries_cropped", values["queries_cropped"] in _CROPPED),
        *(
            (name, values[name])
            for name in ("method", "protocol", "metric", "source")
        ),
    ):
        if not passed:
            raise InputError(
                f"{path}, line {line}: {name} is {values[name][:40]!r}."
            )
    return PublishedResult(
        **values
        | {
            "value": value,
            "queries_cropped": _CROPPED[values["queries_cropped"]],
        }
    )
