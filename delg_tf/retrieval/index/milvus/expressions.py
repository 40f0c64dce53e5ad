"""Filters in Milvus' language.

A text goes into an expression only through `quoted`, a column only through
`json_key`. Every condition on a column says itself that the image has a value
there, and "not" is moved inwards until it meets one; so it does not matter
what Milvus thinks of null.
"""

import math
from collections.abc import Callable

import pyarrow as pa

from delg_tf.retrieval.index.filter_mask import filter_mask
from delg_tf.retrieval.index.filters import (
    NAME_COLUMN,
    OPERATORS,
    And,
    Compare,
    Contains,
    Filter,
    IsIn,
    IsNull,
    Near,
    Not,
    Or,
    StartsWith,
    Value,
)
from delg_tf.retrieval.index.milvus.values import json_key

ALL = "row >= 0"
NONE = "row < 0"
# Of an escape in a text; Milvus Lite knows no others.
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
# Letters that mean something in a pattern of `like`, or may.
_OF_PATTERNS = set("%_\\\n\r\t\"'*?")
_LAST_LETTER = 0x10FFFF
# Finds keys of images by reading their metadata: of a condition, among those
# that pass an expression.
KeysOf = Callable[[Filter, str], list[str]]


def quoted(text: str) -> str:
    """Returns a text as a literal that holds just this text."""
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'


def in_keys(keys: list[str]) -> str:
    """Returns the condition that an image is one of some."""
    return f"name in [{', '.join(map(quoted, keys))}]" if keys else NONE


def expression_of(condition: Filter, schema: pa.Schema, keys_of: KeysOf) -> str:
    """Translates a filter.

    Args:
        condition: the filter.
        schema: columns of the metadata, without the name.
        keys_of: called for what Milvus cannot say.

    Raises:
        InputError: a column is unknown, or of another type than its value.
    """
    # Says what is wrong as an index in a folder does.
    fields = [pa.field(NAME_COLUMN, pa.string()), *schema]
    filter_mask(condition, pa.schema(fields).empty_table())
    return _Translation(schema, keys_of).of(condition, True)


class _Translation:
    def __init__(self, schema: pa.Schema, keys_of: KeysOf):
        self._schema = schema
        self._keys_of = keys_of

    def of(self, condition: Filter, holds: bool) -> str:
        """Returns when a condition holds, or surely does not."""
        match condition:
            case Not(part):
                return self.of(part, not holds)
            case And(parts) | Or(parts):
                both = isinstance(condition, And) == holds
                texts = [self.of(part, holds) for part in parts]
                return _joined("and" if both else "or", texts)
            case IsNull(column):
                there = self._there(column)
                if not holds:
                    return there
                return NONE if there == ALL else f"(not ({there}))"
            case Compare(column, operator, value):
                operator = operator if holds else _OPPOSITE[operator]
                return self._compared(column, operator, value)
            case IsIn(column, values):
                texts = [
                    self._compared(column, "==" if holds else "!=", value)
                    for value in values
                ]
                return _joined("or" if holds else "and", texts)
            case StartsWith(column, text):
                return self._starting(column, text, holds)
            case Contains(column, text):
                return self._containing(condition, column, text, holds)
            case Near():
                return self._near(condition, holds)
        raise TypeError(f"`condition` is no filter. Received: {condition!r}.")

    def _there(self, column: str) -> str:
        """Returns when an image has a value."""
        if column == NAME_COLUMN:
            return ALL
        return f"exists {self._field(column)}"

    def _field(self, column: str) -> str:
        if column == NAME_COLUMN:
            return "name"
        return f'meta["{json_key(column)}"]'

    def _with_value(self, column: str, text: str) -> str:
        if column == NAME_COLUMN:
            return f"({text})"
        return f"({self._there(column)} and {text})"

    def _compared(self, column: str, operator: str, value: Value) -> str:
        field = self._field(column)
        kind = pa.string()
        if column != NAME_COLUMN:
            kind = self._schema.field(column).type
        if isinstance(value, bool):
            # Not all versions order true and false.
            which = [x for x in (False, True) if OPERATORS[operator](x, value)]
            texts = [f"{field} == {str(x).lower()}" for x in which]
            return self._with_value(column, _joined("or", texts))
        if isinstance(value, float) and not math.isfinite(value):
            every = OPERATORS[operator](0.0, value)
            return self._there(column) if every else NONE
        if pa.types.is_temporal(kind):
            literal = str(pa.scalar(value).cast(kind).value)
        elif isinstance(value, str):
            literal = quoted(value)
        else:
            literal = repr(value)
        return self._with_value(column, f"{field} {operator} {literal}")

    def _starting(self, column: str, text: str, holds: bool) -> str:
        """Texts with a beginning are a range: no letter is a joker there."""
        end = _after(text)
        low = [] if not text else [(">=", text)]
        bounds = low + ([] if end is None else [("<", end)])
        if not bounds:
            return self._there(column) if holds else NONE
        field = self._field(column)
        texts = [
            f"{field} {op if holds else _OPPOSITE[op]} {quoted(bound)}"
            for op, bound in bounds
        ]
        return self._with_value(
            column, _joined("and" if holds else "or", texts)
        )

    def _containing(
        self, condition: Filter, column: str, text: str, holds: bool
    ) -> str:
        if not text:
            return self._there(column) if holds else NONE
        if _OF_PATTERNS & set(text) or not text.isprintable():
            # Versions differ in how a joker is written as itself.
            return self._by_keys(condition, holds, self._there(column))
        like = f"{self._field(column)} like {quoted(f'%{text}%')}"
        return self._with_value(column, like if holds else f"(not ({like}))")

    def _near(self, condition: Near, holds: bool) -> str:
        columns = (condition.latitude_column, condition.longitude_column)
        among = _joined("and", [self._there(column) for column in columns])
        if holds:
            # A degree of latitude is 111.195 km; the rest is for rounding.
            degrees = condition.kilometres / 111.1 + 1e-6
            for operator, bound in (
                (">=", condition.latitude - degrees),
                ("<=", condition.latitude + degrees),
            ):
                text = self._compared(columns[0], operator, float(bound))
                among = _joined("and", [among, text])
        return self._by_keys(condition, holds, among)

    def _by_keys(self, condition: Filter, holds: bool, among: str) -> str:
        condition = condition if holds else Not(condition)
        return in_keys(self._keys_of(condition, among))


def _joined(word: str, texts: list[str]) -> str:
    if not texts:
        return NONE
    return texts[0] if len(texts) == 1 else f"({f' {word} '.join(texts)})"


def _after(text: str) -> str | None:
    """Returns the least text above all that start with one; None: none is."""
    while text:
        code = ord(text[-1])
        if code < _LAST_LETTER:
            # What lies behind the surrogates, which are no letters.
            code = 0xE000 if code == 0xD7FF else code + 1
            return text[:-1] + chr(code)
        text = text[:-1]
    return None
