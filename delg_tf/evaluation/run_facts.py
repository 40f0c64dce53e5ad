"""What a record says about model, extraction, index and re-ranking."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from delg_tf.common.files import PathLike
from delg_tf.data.revisited import RevisitedGroundTruth
from delg_tf.evaluation.intervals import with_intervals
from delg_tf.evaluation.provenance import (
    hash_of_folder,
    hash_of_names,
    library_versions,
    machine,
)
from delg_tf.evaluation.record import RunRecord
from delg_tf.export.metadata import ExportMetadata, load_metadata
from delg_tf.protos import delf_config_pb2
from delg_tf.retrieval.rerank import RerankConfig

_Threshold = delf_config_pb2.DelfLocalFeatureConfig
# Of what an export says about itself, the long parts are left out.
_OF_EXPORT = ("kind", "keypoints", "created_by")
_OF_NETWORK = ("backbone", "pooling", "embedding_dim", "num_classes")


def model_facts(model_path: PathLike) -> dict[str, Any]:
    """Returns `model` of a record.

    Args:
        model_path: folder of an export.

    Returns:
        `path`, `sha256`, and of our exports what they say about themselves;
        None for what another program's model does not say.

    Raises:
        InputError: there is no such folder, or its metadata is damaged.
    """
    sha256 = hash_of_folder(model_path)
    metadata = load_metadata(model_path)
    said = dataclasses.asdict(metadata) if metadata else {}
    network = said.get("model", {})
    return {
        "path": os.fspath(model_path),
        "sha256": sha256,
        **{name: said.get(name) for name in _OF_EXPORT},
        **{name: network.get(name) for name in _OF_NETWORK},
    }


def extraction_facts(config: delf_config_pb2.DelfConfig) -> dict[str, Any]:
    """Returns the fields of a record that the extraction decides.

    Args:
        config: the extraction configuration.

    Returns:
        `model`, `class_list`, `image_scales` and `thresholds`.

    Raises:
        InputError: the model is missing or its metadata damaged.
    """
    metadata = load_metadata(config.model_path)
    local = config.delf_local_config
    thresholds: dict[str, float | None] = {
        "max_image_size": config.max_image_size,
        "min_image_size": config.min_image_size,
    }
    if config.use_local_features:
        thresholds |= {
            "score_threshold": _score_threshold(local, metadata),
            "max_feature_num": local.max_feature_num,
            "iou_threshold": local.iou_threshold,
        }
    return {
        "model": model_facts(config.model_path),
        "class_list": metadata and metadata.class_list,
        # Nearest to what was written: 0.7071, not 0.7070999741554260.
        "image_scales": [float(f"{s:.7g}") for s in config.image_scales],
        "thresholds": thresholds,
    }


def verification_facts(config: RerankConfig | None) -> dict[str, Any] | None:
    """Returns `verification` of a record; None without re-ranking."""
    if config is None:
        return None
    return {
        "num_to_rerank": config.num_to_rerank,
        **dataclasses.asdict(config.matching),
    }


def unknown_verification() -> dict[str, None]:
    """Returns `verification` of results whose re-ranking is not known."""
    return dict.fromkeys(verification_facts(RerankConfig()))


def dataset_name(path: PathLike) -> str | None:
    """Returns the name in that of a ground truth, `gnd_<name>.mat`, if any."""
    prefix, _, name = pathlib.Path(path).stem.partition("_")
    return (name or None) if prefix == "gnd" else None


def files(**paths: PathLike | None) -> dict[str, str | None]:
    """Returns `files` of a record: absolute paths."""
    return {
        name: path and os.path.abspath(path) for name, path in paths.items()
    }


def image_lists(
    query_names: Sequence[str], index_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Returns `image_lists` of a record: how many, and their hash."""
    return {
        name: {"count": len(names), "sha256": hash_of_names(names)}
        for name, names in (("queries", query_names), ("index", index_names))
    }


def revisited_record(
    metrics: Mapping[str, Mapping[str, Any]],
    ground_truth: RevisitedGroundTruth,
    **facts: Any,
) -> RunRecord:
    """Returns the record of an evaluation as Revisited Oxford and Paris do.

    Args:
        metrics: by protocol, as `evaluate_before_and_after` returns them;
            confidence intervals are added.
        ground_truth: of the data set.
        **facts: other fields; libraries and machine are those of this
            process, if not given.
    """
    names = ground_truth.query_names, ground_truth.index_names
    known = {
        "protocol": "revisited",
        "query_names": names[0],
        "image_lists": image_lists(*names),
        "versions": library_versions(),
        "machine": machine(),
    }
    return RunRecord(metrics=with_intervals(metrics), **(known | facts))


def _score_threshold(
    local: delf_config_pb2.DelfLocalFeatureConfig,
    metadata: ExportMetadata | None,
) -> float | None:
    """The threshold that extraction took; None if the model has none."""
    if local.use_model_score_threshold == _Threshold.NONE:
        return local.score_threshold
    if metadata is None:
        return None
    if local.use_model_score_threshold == _Threshold.MEDIAN:
        return metadata.attention_median
    return metadata.attention_percentile_75
