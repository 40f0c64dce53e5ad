"""Reading of extraction configurations (text `DelfConfig` messages)."""

import pathlib

from google.protobuf import text_format

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.protos import delf_config_pb2


def load_config(
    path: PathLike, model_path: str | None = None
) -> delf_config_pb2.DelfConfig:
    """Reads and checks a `.pbtxt` file.

    Relative paths in it are relative to the working directory, as in the
    official code.

    Args:
        path: the file.
        model_path: takes the place of the file's own, if given.

    Raises:
        InputError: it is missing, does not parse, or contradicts itself.
    """
    path = existing_file(path, "extraction configuration")
    config = delf_config_pb2.DelfConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    if model_path:
        config.model_path = model_path
    _check(config, path)
    return config


def _check(config: delf_config_pb2.DelfConfig, path: pathlib.Path) -> None:
    local = config.delf_local_config
    indices = config.delf_global_config.image_scales_ind
    problems = {
        "`model_path` is missing": not config.model_path,
        "`image_scales` is empty": not config.image_scales,
        "`image_scales` must be positive": any(
            scale <= 0 for scale in config.image_scales
        ),
        "one of `use_local_features` and `use_global_features` must be true": not (
            config.use_local_features or config.use_global_features
        ),
        "`image_scales_ind` must be indices of `image_scales`": any(
            not 0 <= index < len(config.image_scales) for index in indices
        ),
        "`max_feature_num` must be positive": config.use_local_features
        and local.max_feature_num < 1,
        "`min_image_size` is larger than `max_image_size`": 0
        <= config.max_image_size
        < config.min_image_size,
    }
    for problem, holds in problems.items():
        if holds:
            raise InputError(f"{path}: {problem}.")
    if not config.is_tf2_exported:
        raise InputError(
            f"{path}: only models with TF2 signatures are read; set "
            "`is_tf2_exported: true` if this is one."
        )
