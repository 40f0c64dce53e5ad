"""Where a network's configuration lies beside its weights."""

import pathlib

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, read_json
from delg_tf.models.config import DelgConfig

# In the logdir of a finished training.
MODEL_FILE = "model.json"
# In an exported model: SavedModel's folder for files that no graph uses.
EXPORT_FILE = pathlib.Path("assets.extra") / "delg.json"


def stored_config(directory: PathLike) -> DelgConfig | None:
    """Reads the configuration of a trained or exported network.

    Args:
        directory: a logdir, or an exported model.

    Returns:
        The configuration; None if there is neither file.

    Raises:
        InputError: the file is damaged.
    """
    for name in (MODEL_FILE, EXPORT_FILE):
        path = pathlib.Path(directory) / name
        if not path.is_file():
            continue
        try:
            return DelgConfig.from_dict(read_json(path)["model"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is incomplete: {error}") from error
    return None
