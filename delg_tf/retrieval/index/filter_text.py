"""Filters written as Python expressions.

    label == 7 and city in ["Paris", "Rome"]
    1900 <= year < 2000 and not is_painting
    "tower" in landmark or startswith(path, "france/")
    near(48.858, 2.294, 5)             # kilometres; latitude, longitude
    column("landmark name") == "x"     # what is no name in Python
    year is None

The text is parsed, never run; whatever else Python knows is refused.
"""

import ast

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.filters import (
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

_OPERATORS = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_HELP = (
    'Write a Python expression, like: label == 7 and city in ["Paris"] and '
    "near(48.86, 2.29, 5)."
)


def parse_filter(text: str) -> Filter:
    """Reads a filter.

    Args:
        text: see the top of this file.

    Raises:
        InputError: it is no such expression; the message says where.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _condition(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise InputError(f"The filter {text!r}: {reason}. {_HELP}") from error


def _condition(node: ast.expr) -> Filter:
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = tuple(_condition(value) for value in values)
            return And(parts) if isinstance(op, ast.And) else Or(parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Not(_condition(operand))
        case ast.Compare():
            return _comparison(node)
        case ast.Call(func=ast.Name(id=name)) if name in _FUNCTIONS:
            return _FUNCTIONS[name](node)
    column = _column(node)
    if column is None:
        raise ValueError(f"{ast.unparse(node)!r} is no condition")
    return Compare(column, "==", True)


def _comparison(node: ast.Compare) -> Filter:
    """Translates a chain of comparisons, a < b < c."""
    sides = [node.left, *node.comparators]
    parts = tuple(
        _one_comparison(left, op, right)
        for left, op, right in zip(sides, node.ops, sides[1:])
    )
    return parts[0] if len(parts) == 1 else And(parts)


def _one_comparison(left: ast.expr, op: ast.cmpop, right: ast.expr) -> Filter:
    if isinstance(op, ast.NotIn):
        return Not(_one_comparison(left, ast.In(), right))
    if isinstance(op, ast.NotEq | ast.IsNot) and _is_none(right):
        return Not(IsNull(_required_column(left)))
    if isinstance(op, ast.Eq | ast.Is) and _is_none(right):
        return IsNull(_required_column(left))
    if isinstance(op, ast.In):
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            values = tuple(_value(item) for item in right.elts)
            if not values:
                raise ValueError("the list behind `in` is empty")
            return IsIn(_required_column(left), values)
        return Contains(_required_column(right), _text(left))
    if type(op) not in _OPERATORS:
        raise ValueError("`is` is for None only; use ==")
    symbol = _OPERATORS[type(op)]
    if _column(left) is None:
        left, right, symbol = right, left, _MIRRORED.get(symbol, symbol)
    return Compare(_required_column(left), symbol, _value(right))


def _starts_with(node: ast.Call) -> Filter:
    column, text = _arguments(node, 2, "startswith(column, text)")
    return StartsWith(_required_column(column), _text(text))


def _contains(node: ast.Call) -> Filter:
    column, text = _arguments(node, 2, "contains(column, text)")
    return Contains(_required_column(column), _text(text))


def _near(node: ast.Call) -> Filter:
    usage = "near(latitude, longitude, kilometres)"
    values = [_value(item) for item in _arguments(node, 3, usage)]
    if not all(type(value) in (int, float) for value in values):
        raise ValueError(f"write {usage}, three numbers")
    latitude, longitude, kilometres = map(float, values)
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 360):
        raise ValueError(f"{usage} has degrees from -90 and -180 on")
    if not kilometres >= 0:
        raise ValueError(f"the distance of {usage} must be 0 or more")
    return Near(latitude, longitude, kilometres)


_FUNCTIONS = {
    "startswith": _starts_with,
    "contains": _contains,
    "near": _near,
}


def _arguments(node: ast.Call, count: int, usage: str) -> list[ast.expr]:
    if node.keywords or len(node.args) != count:
        raise ValueError(f"write {usage}")
    return node.args


def _column(node: ast.expr) -> str | None:
    """Returns the column that an expression names; None if it is no name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Call(func=ast.Name(id="column")):
            return _text(*_arguments(node, 1, 'column("name")'))
    return None


def _required_column(node: ast.expr) -> str:
    name = _column(node)
    if name is None:
        raise ValueError(f"{ast.unparse(node)!r} is no column")
    return name


def _value(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=str() | bool() | int() | float() as value):
            return value
        case ast.UnaryOp(
            op=ast.USub(), operand=ast.Constant(value=int() | float() as value)
        ) if not isinstance(value, bool):
            return -value
    raise ValueError(
        f"{ast.unparse(node)!r} is no text in quotes, number, True or False"
    )


def _text(node: ast.expr) -> str:
    value = _value(node)
    if not isinstance(value, str):
        raise ValueError(f"{ast.unparse(node)!r} is no text in quotes")
    return value


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
