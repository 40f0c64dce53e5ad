"""Reading of extraction configurations (text `DelfConfig` messages)."""

import math
import os
import pathlib

from google.protobuf import text_format

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.protos import delf_config_pb2

# Fields of the PCA that name files.
PCA_PATHS = ("mean_path", "projection_matrix_path", "pca_variances_path")


def load_config(
    path: PathLike, model_path: PathLike | None = None
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
        config.model_path = os.fspath(model_path)
    _check(config, path)
    return config


def _check(config: delf_config_pb2.DelfConfig, path: pathlib.Path) -> None:
    scales = config.image_scales
    indices = config.delf_global_config.image_scales_ind
    features = config.delf_local_config.max_feature_num
    checks = {
        "`model_path` is missing": bool(config.model_path),
        "`image_scales` is empty": bool(scales),
        "`image_scales` must be positive numbers": all(
            0 < scale < math.inf for scale in scales
        ),
        "one of `use_local_features` and `use_global_features` must be true": (
            config.use_local_features or config.use_global_features
        ),
        "`image_scales_ind` must be indices of `image_scales`, from 0": all(
            0 <= index < len(scales) for index in indices
        ),
        "`max_feature_num` must be positive": (
            features > 0 or not config.use_local_features
        ),
        "`min_image_size` is larger than `max_image_size`": (
            config.max_image_size < 0
            or config.min_image_size <= config.max_image_size
        ),
        "`iou_threshold` must be from 0 to 1": (
            0 <= config.delf_local_config.iou_threshold <= 1
        ),
    }
    for problem, passed in checks.items():
        if not passed:
            raise InputError(f"{path}: {problem}.")


def with_absolute_paths(
    config: delf_config_pb2.DelfConfig,
) -> delf_config_pb2.DelfConfig:
    """Returns the same for a process with another working directory."""
    absolute = delf_config_pb2.DelfConfig()
    absolute.CopyFrom(config)
    absolute.model_path = os.path.abspath(config.model_path)
    for part in (absolute.delf_local_config, absolute.delf_global_config):
        if not part.HasField("pca_parameters"):
            continue
        for field in PCA_PATHS:
            path = getattr(part.pca_parameters, field)
            if path:
                setattr(part.pca_parameters, field, os.path.abspath(path))
    return absolute
