"""From a training run to a SavedModel."""

import pathlib

import tensorflow as tf
from absl import logging

import delg_tf
from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.files import PathLike
from delg_tf.data.class_labels import FILE_NAME as LABELS
from delg_tf.data.class_labels import save_labels
from delg_tf.export import modules
from delg_tf.export.agreement import Agreement
from delg_tf.export.check import Check
from delg_tf.export.check_files import check_saved_model
from delg_tf.export.convert import write_formats
from delg_tf.export.formats import EXTRA, FormatOptions
from delg_tf.export.metadata import (
    DESCRIPTORS,
    ExportMetadata,
    save_metadata,
)
from delg_tf.export.options import ExportOptions
from delg_tf.export.pyramid import smallest_level
from delg_tf.export.reference import keras_network
from delg_tf.export.serving import SERVE
from delg_tf.models.delg import Delg
from delg_tf.models.receptive_field import receptive_field, windows
from delg_tf.training.trained_model import (
    ModelRecord,
    class_labels,
    class_list,
    load_trained_model,
)

# Any image; only size and stride of the receptive field are read, which do not
# depend on it.
_ANY_LENGTH = 321


def export_model(
    logdir: PathLike,
    export_path: PathLike,
    options: ExportOptions,
    overwrite: bool = False,
    formats: FormatOptions | None = None,
    checked: bool = True,
) -> tuple[ExportMetadata, list[Agreement]]:
    """Exports a trained network.

    Args:
        logdir: of the finished training.
        export_path: folder of the SavedModel.
        options: what and how.
        overwrite: whether an existing folder is replaced.
        formats: files for other programs that are made, too.
        checked: whether all signatures are compared with the network; the
            files for other programs always are.

    Returns:
        What the SavedModel carries beside its graph, and how far each file is
        from the network.

    Raises:
        InputError: there is no finished training, `export_path` exists and
            may not be replaced, or a file does not give what the network
            does. There is no export then.
    """
    changes = {}
    if options.local_stride is not None:
        changes["local_stride"] = options.local_stride
    agreements: list[Agreement] = []
    with atomic_directory(export_path, "saved_model.pb", overwrite) as folder:
        model, record = load_trained_model(logdir, **changes)
        metadata = _describe(model, record, options)
        _save(model, metadata, options, folder)
        save_labels(folder / EXTRA, class_labels(logdir, record))
        save_metadata(folder, metadata)
        others = formats is not None and bool(formats.formats)
        if checked or others:
            network = keras_network(
                model, options.kind != "global", options.kind != "local"
            )
            check = Check(network, metadata)
            loaded = tf.saved_model.load(str(folder))
            if checked:
                agreements += check_saved_model(loaded, check)
            if others:
                agreements += write_formats(folder, loaded, formats, check)
    logging.info("Exported %s to %s.", options.kind, export_path)
    return metadata, agreements


def _save(
    model: Delg,
    metadata: ExportMetadata,
    options: ExportOptions,
    folder: pathlib.Path,
) -> None:
    module = _make_module(model, options)
    serve = module.serving(
        tuple(metadata.scales),
        tuple(metadata.global_scales),
        metadata.max_features,
        metadata.score_threshold,
    )
    functions = {"serving_default": module.extract, SERVE: serve}
    tf.saved_model.save(
        module,
        str(folder),
        signatures={
            name: function.get_concrete_function()
            for name, function in (functions | module.levels).items()
        },
    )


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
    scales, global_scales = options.pyramid()
    threshold = options.score_threshold
    if threshold is None:
        threshold = record.attention.median
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
        scales=list(scales),
        global_scales=list(global_scales) if options.kind != "local" else [],
        max_features=options.max_features if options.kind != "global" else 0,
        score_threshold=threshold,
        descriptors=DESCRIPTORS,
        class_labels=LABELS,
        class_list=class_list(record),
    )
