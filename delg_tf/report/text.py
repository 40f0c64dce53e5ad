"""Numbers as people read them."""

import math


def percent(value: float | None) -> str:
    """Returns a number of percent with one decimal, or a dash."""
    number = number_of(value)
    return "–" if math.isnan(number) else f"{number:.1f}"


def points(value: float) -> str:
    """Returns a change in points with its sign, or a dash."""
    return "–" if math.isnan(value) else f"{value:+.1f}"


def number_of(value: float | None) -> float:
    """Returns the number, NaN for None."""
    return math.nan if value is None else float(value)


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, e.g. "1 inlier", "2 inliers"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Returns a time in the units that people use."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s"
