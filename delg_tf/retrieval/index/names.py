"""What images of an index may be called."""

import collections
from collections.abc import Iterable, Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import readable

# Shown when many names are wrong.
_SHOWN = 5


def check_names(names: Sequence[str]) -> None:
    """Checks names of images.

    Raises:
        InputError: a name comes twice, or is no single line of text.
    """
    if len(set(names)) != len(names):
        counts = collections.Counter(names)
        twice = [name for name, count in counts.items() if count > 1]
        raise InputError(
            f"The index has two images of the same name: {some(twice)}."
        )
    for name in names:
        if not name or len(name.splitlines()) != 1 or name != name.strip():
            raise InputError(
                f"{name!r} cannot be the name of an image: names are single "
                "lines without blanks around. Rename its feature files."
            )


def some(names: Iterable[str]) -> str:
    """Returns the first names, as text for a message."""
    names = [readable(name) for name in names]
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
