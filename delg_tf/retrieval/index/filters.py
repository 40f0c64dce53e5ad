"""What a filter of images says, apart from how it is looked up.

A filter is a condition on columns of metadata. `filter_text` reads it from
text; `filter_mask` finds the rows that pass; an index elsewhere translates it
into its own language.

An image without a value passes neither a condition on it nor its negation, as
in SQL; `IsNull` asks for it.
"""

import dataclasses
import operator

Value = str | int | float | bool

OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# The column in which every image has its name.
NAME_COLUMN = "name"


class Filter:
    """A condition; one of the classes below."""


@dataclasses.dataclass(frozen=True)
class Compare(Filter):
    """`column` stands to `value` as `operator`, of `OPERATORS`, says."""

    column: str
    operator: str
    value: Value


@dataclasses.dataclass(frozen=True)
class IsIn(Filter):
    """`column` is one of `values`, which are at least one."""

    column: str
    values: tuple[Value, ...]


@dataclasses.dataclass(frozen=True)
class IsNull(Filter):
    """The image has no value in `column`."""

    column: str


@dataclasses.dataclass(frozen=True)
class StartsWith(Filter):
    """The text in `column` starts with `text`."""

    column: str
    text: str


@dataclasses.dataclass(frozen=True)
class Contains(Filter):
    """The text in `column` has `text` in it."""

    column: str
    text: str


@dataclasses.dataclass(frozen=True)
class Near(Filter):
    """The place lies within a distance of another, on the sphere.

    Attributes:
        latitude: of the other place, degrees.
        longitude: likewise.
        kilometres: distance at most.
        latitude_column: column of degrees.
        longitude_column: likewise.
    """

    latitude: float
    longitude: float
    kilometres: float
    latitude_column: str = "latitude"
    longitude_column: str = "longitude"


@dataclasses.dataclass(frozen=True)
class And(Filter):
    """All of `parts` hold."""

    parts: tuple[Filter, ...]


@dataclasses.dataclass(frozen=True)
class Or(Filter):
    """One of `parts` holds, or more."""

    parts: tuple[Filter, ...]


@dataclasses.dataclass(frozen=True)
class Not(Filter):
    """`part` does not hold."""

    part: Filter
