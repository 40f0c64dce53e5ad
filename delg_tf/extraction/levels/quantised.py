"""Where int8 copies of an export's level functions lie."""

import pathlib

# SavedModel's folder for files that its graph does not use.
FOLDER = pathlib.Path("assets.extra") / "int8"


def quantised_path(model: pathlib.Path, signature: str) -> pathlib.Path:
    """The int8 copy of a level function."""
    return model / FOLDER / f"{signature}.xml"
