"""What images of an index may be called."""

import collections
from collections.abc import Container, Iterable, Sequence

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


def names_there(
    names: Iterable[str], known: Container[str], replace: bool
) -> list[str]:
    """Returns which of the names to add an index has already.

    Args:
        names: of the images to add.
        known: names in the index.
        replace: whether there may be any.

    Raises:
        InputError: there are some, and there may be none.
    """
    there = [name for name in names if name in known]
    if there and not replace:
        raise InputError(
            f"{len(there)} images are in the index already: "
            f"{some(there)}. Update them instead, or remove them first."
        )
    return there


def some(names: Iterable[str]) -> str:
    """Returns the first names, as text for a message."""
    names = [readable(name) for name in names]
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
