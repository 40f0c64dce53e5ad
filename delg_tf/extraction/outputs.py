"""Where an extraction writes."""

from delg_tf.common.files import PathLike
from delg_tf.extraction.identity import extraction_identity
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.feature_io import LOCAL_SUFFIX
from delg_tf.features.storage.base import FeatureSink
from delg_tf.features.storage.choice import open_sink
from delg_tf.features.storage.folder import OfficialFiles
from delg_tf.protos import delf_config_pb2


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
    if store:
        return open_sink(store, "store", info)
    return open_sink(folder, "packed", info)
