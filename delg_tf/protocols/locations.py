"""Where the public data sets lie below a data folder."""

import pathlib
from collections.abc import Sequence

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.data.decoder import EXTENSIONS
from delg_tf.extraction.image_list import ImageItem

# Names of missing files that a message shows.
_NAMES_SHOWN = 5


class MissingPartError(InputError):
    """A part of a data set is not there."""


def missing(what: str, path: PathLike, remedy: str) -> MissingPartError:
    """Returns what to raise for a part that is not there.

    Args:
        what: the part, for people.
        path: where it was looked for.
        remedy: what the user can do, a sentence.
    """
    return MissingPartError(f"The {what} is missing: {path}. {remedy}")


def first_folder(
    candidates: Sequence[pathlib.Path], what: str, remedy: str
) -> pathlib.Path:
    """Returns the first folder that there is.

    Raises:
        MissingPartError: there is none.
    """
    for path in candidates:
        if path.is_dir():
            return path
    raise missing(what, " or ".join(map(str, candidates)), remedy)


class ImageFolder:
    """Finds image files by their names without ending.

    Ground truth does not say what kind of files its images are.

    Args:
        path: the folder.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._files = {
            file.stem: file
            for file in sorted(path.iterdir(), reverse=True)
            if file.suffix.lower() in EXTENSIONS
        }

    def file_of(self, name: str) -> pathlib.Path:
        """Returns the file of a name, `<name>.jpg` if there is none."""
        found = self._files.get(name)
        return found or self.path / f"{name}.jpg"


def require_images(items: Sequence[ImageItem], what: str, remedy: str) -> None:
    """Checks that the files of all images are there.

    Raises:
        MissingPartError: some are not; the message names the first.
    """
    if not items:
        raise MissingPartError(f"There are no {what}. {remedy}")
    absent = [item.path for item in items if not item.path.is_file()]
    if absent:
        shown = ", ".join(map(str, absent[:_NAMES_SHOWN]))
        more = ", ..." if len(absent) > _NAMES_SHOWN else ""
        raise MissingPartError(
            f"{len(absent)} of the {len(items)} {what} are missing: "
            f"{shown}{more}. {remedy}"
        )
