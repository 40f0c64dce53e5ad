"""What features were extracted with, as a short text to compare."""

import hashlib
import pathlib

from delg_tf.common.files import sha256
from delg_tf.extraction.config import PCA_PATHS
from delg_tf.protos import delf_config_pb2


def extraction_identity(config: delf_config_pb2.DelfConfig) -> str:
    """Returns a hash of the model's weights and of the settings.

    Where the files lie does not matter, nor what runs the model.

    Args:
        config: the extraction configuration.
    """
    settings = delf_config_pb2.DelfConfig()
    settings.CopyFrom(config)
    settings.ClearField("model_path")
    paths = _files_of_model(pathlib.Path(config.model_path))
    for part in (settings.delf_local_config, settings.delf_global_config):
        if part.use_pca:
            parameters = part.pca_parameters
            for field in PCA_PATHS:
                paths.append(pathlib.Path(getattr(parameters, field)))
                parameters.ClearField(field)
    digest = hashlib.sha256(settings.SerializeToString(deterministic=True))
    for path in paths:
        # What is missing is told by who loads it.
        digest.update(sha256(path).encode() if path.is_file() else b"-")
    return digest.hexdigest()[:32]


def _files_of_model(directory: pathlib.Path) -> list[pathlib.Path]:
    """Returns a SavedModel's own files, not those that we put beside them."""
    weights = sorted((directory / "variables").glob("*"))
    return [directory / "saved_model.pb", *weights]
