"""From a training run to a SavedModel."""

import dataclasses
import math

import tensorflow as tf
from absl import logging

import delg_tf
from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.export import modules
from delg_tf.export.metadata import (
    KEYPOINTS,
    KINDS,
    ExportMetadata,
    save_metadata,
)
from delg_tf.export.pyramid import smallest_level
from delg_tf.models.delg import Delg
from delg_tf.models.receptive_field import receptive_field, windows
from delg_tf.training.trained_model import ModelRecord, load_trained_model

# Any image; only size and stride of the receptive field are read, which do not
# depend on it.
_ANY_LENGTH = 321


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and how.

    Attributes:
        kind: one of `KINDS`.
        local_stride: 16 or 32; None: as the network was trained.
        iou_threshold: see `select_features`.
        keypoints: one of `KEYPOINTS`.
        pooled_scales: with kind "global": makes the model that takes nothing
            but an image; empty: scales are an input.
        pooling: "average" or "sum", of those scales.
        normalise: whether that result is L2-normalised.
    """

    kind: str = "local_and_global"
    local_stride: int | None = None
    iou_threshold: float = 1.0
    keypoints: str = "exact"
    pooled_scales: tuple[float, ...] = ()
    pooling: str = "average"
    normalise: bool = True

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            InputError: a field is out of range.
        """
        if self.kind not in KINDS:
            raise InputError(
                f"`kind` must be one of {KINDS}. Received: {self.kind!r}"
            )
        if self.keypoints not in KEYPOINTS:
            raise InputError(
                f"`keypoints` must be one of {KEYPOINTS}. Received: "
                f"{self.keypoints!r}"
            )
        if not 0 < self.iou_threshold <= 1:
            raise InputError(
                "`iou_threshold` must be in (0, 1]. Received: "
                f"{self.iou_threshold}"
            )
        if self.pooled_scales and self.kind != "global":
            raise InputError("Fixed scales need `kind` 'global'.")
        if not all(0 < scale < math.inf for scale in self.pooled_scales):
            raise InputError(
                "Scales must be positive numbers. Received: "
                f"{self.pooled_scales}"
            )


def export_model(
    logdir: PathLike,
    export_path: PathLike,
    options: ExportOptions,
    overwrite: bool = False,
) -> ExportMetadata:
    """Exports a trained network.

    Args:
        logdir: of the finished training.
        export_path: folder of the SavedModel.
        options: what and how.
        overwrite: whether an existing folder is replaced.

    Returns:
        What the SavedModel carries beside its graph.

    Raises:
        InputError: there is no finished training, or `export_path` exists and
            may not be replaced.
    """
    changes = {}
    if options.local_stride is not None:
        changes["local_stride"] = options.local_stride
    with atomic_directory(export_path, "saved_model.pb", overwrite) as folder:
        model, record = load_trained_model(logdir, **changes)
        module = _make_module(model, options)
        tf.saved_model.save(
            module,
            str(folder),
            signatures={
                "serving_default": module.extract.get_concrete_function(),
                **{
                    name: function.get_concrete_function()
                    for name, function in module.levels.items()
                },
            },
        )
        metadata = _describe(model, record, options)
        save_metadata(folder, metadata)
    logging.info("Exported %s to %s.", options.kind, export_path)
    return metadata


def _make_module(model: Delg, options: ExportOptions) -> tf.Module:
    exact = options.keypoints == "exact"
    if options.kind == "local":
        return modules.LocalModule(model, options.iou_threshold, exact)
    if options.kind == "local_and_global":
        return modules.LocalAndGlobalModule(model, options.iou_threshold, exact)
    if options.pooled_scales:
        return modules.PooledGlobalModule(
            model,
            list(options.pooled_scales),
            options.pooling,
            options.normalise,
        )
    return modules.GlobalModule(model)


def _describe(
    model: Delg, record: ModelRecord, options: ExportOptions
) -> ExportMetadata:
    field = receptive_field(model.trunk, "block3", _ANY_LENGTH)
    return ExportMetadata(
        kind=options.kind,
        keypoints=options.keypoints,
        local_stride=field.stride,
        receptive_field=field.size,
        attention_median=record.attention.median,
        attention_percentile_75=record.attention.percentile_75,
        normalisation="(x - 128) / 128",
        model=record.model.to_dict(),
        created_by=f"delg-tf {delg_tf.__version__}",
        iou_threshold=options.iou_threshold,
        smallest_level=smallest_level(model.trunk),
        windows=[
            [
                window.to_list()
                for window in windows(model.trunk, "block3", axis)
            ]
            for axis in (0, 1)
        ],
    )
