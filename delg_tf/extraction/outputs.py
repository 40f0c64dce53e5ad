"""Where an extraction writes."""

import json
import pathlib

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, read_json, write_json
from delg_tf.extraction.detectors.config import DetectorConfig
from delg_tf.extraction.identity import extraction_identity
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.feature_io import LOCAL_SUFFIX
from delg_tf.features.storage.base import FeatureSink
from delg_tf.features.storage.choice import open_sink
from delg_tf.features.storage.folder import FolderSource, OfficialFiles
from delg_tf.protos import delf_config_pb2

# In a folder of a detector's features: its settings.
DETECTOR_FILE = "detector.json"


def extraction_sink(
    config: delf_config_pb2.DelfConfig,
    folder: PathLike | None,
    store: PathLike | None = None,
    local_format: str | None = None,
    global_format: str = "float32",
    local_suffix: str = LOCAL_SUFFIX,
) -> FeatureSink:
    """Opens the place of an extraction's features.

    Args:
        config: what is extracted.
        folder: of official or packed files; None: there is a store.
        store: file of a store, or None.
        local_format: of packed files and of the store (None: float32);
            without it a folder has official files.
        global_format: likewise.
        local_suffix: extension of official files of local features.

    Raises:
        InputError: the store is of other formats or of another model, or is
            being written.
    """
    if store is None and local_format is None:
        return OfficialFiles(
            folder,
            config.use_global_features,
            config.use_local_features,
            local_suffix,
        )
    info = StoreInfo(
        (local_format or "float32") if config.use_local_features else None,
        global_format if config.use_global_features else None,
        extraction_identity(config) if store else "",
    )
    return _compact_sink(folder, store, info)


def detector_sink(
    config: DetectorConfig,
    folder: PathLike | None,
    store: PathLike | None = None,
    local_format: str | None = None,
) -> FeatureSink:
    """Opens the place of a detector's local features.

    A folder gets a file that says what its features are of, so that others do
    not get among them.

    Args:
        config: what is extracted.
        folder: of official or packed files; None: there is a store.
        store: file of a store, or None.
        local_format: of packed files and of the store (None: float32, of ORB
            binary); without it a folder has official files, of ORB packed
            ones.

    Raises:
        InputError: there are other features.
    """
    if local_format is None and config.detector == "orb":
        # As good as the features themselves, which are bits.
        local_format = "binary"
    if store:
        local_format = local_format or "float32"
    else:
        _claim_folder(pathlib.Path(folder), config)
    if local_format is None:
        return OfficialFiles(folder, with_global=False)
    info = StoreInfo(local_format, None, config.identity if store else "")
    return _compact_sink(folder, store, info)


def _compact_sink(
    folder: PathLike | None, store: PathLike | None, info: StoreInfo
) -> FeatureSink:
    if store:
        return open_sink(store, "store", info)
    return open_sink(folder, "packed", info)


def _claim_folder(folder: pathlib.Path, config: DetectorConfig) -> None:
    path = folder / DETECTOR_FILE
    wanted = json.loads(config.identity)
    if path.exists():
        found = read_json(path)
        if found != wanted:
            raise InputError(
                f"The features in {folder} are of {json.dumps(found)}; this "
                f"run would add some of {config.identity}. Choose another "
                "folder."
            )
        return
    if folder.is_dir() and FolderSource(folder).names():
        raise InputError(
            f"{folder} has other features already. Choose another folder."
        )
    write_json(path, wanted)
