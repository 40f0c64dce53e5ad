"""Where int8 copies of an export's level functions lie."""

import pathlib

from delg_tf.export.formats import EXTRA

FOLDER = EXTRA / "int8"


def quantised_path(model: pathlib.Path, signature: str) -> pathlib.Path:
    """The int8 copy of a level function."""
    return model / FOLDER / f"{signature}.xml"
