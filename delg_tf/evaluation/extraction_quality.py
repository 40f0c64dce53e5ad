"""What ways of extraction are worth in retrieval: from images to mAP."""

import functools
import pathlib
import tempfile
from collections.abc import Callable, Mapping

from delg_tf.common.files import PathLike, write_json
from delg_tf.data.revisited import load_ground_truth
from delg_tf.evaluation.pipeline import evaluate_features
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.image_list import images_of_dataset
from delg_tf.extraction.levels.quantised import FOLDER
from delg_tf.extraction.run import extract_images
from delg_tf.protos import delf_config_pb2
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.rerank import RerankConfig

MAP_FILE = "map.json"
MakeExtractor = Callable[[delf_config_pb2.DelfConfig], Extractor]


def retrieval_quality(
    config: delf_config_pb2.DelfConfig,
    dataset_file_path: PathLike,
    images_dir: PathLike,
    folder: pathlib.Path,
    make_extractor: MakeExtractor = Extractor,
) -> dict[str, float]:
    """Extracts a data set, searches, re-ranks and evaluates.

    Args:
        config: what is extracted.
        dataset_file_path: ground truth in the Revisited format.
        images_dir: folder of its `.jpg` files; queries are cropped.
        folder: of the feature files; those that are there are used.
        make_extractor: loads the model.

    Returns:
        mAP in percent by protocol, and after geometric verification under
        the protocol and `AFTER_RERANKING`.

    Raises:
        InputError: the data set or the model is missing or unfit.
    """
    truth = load_ground_truth(dataset_file_path)
    for image_set in ("query", "index"):
        items = images_of_dataset(dataset_file_path, images_dir, image_set)
        extract_images(config, items, folder / image_set, make_extractor)
    metrics = evaluate_features(
        truth,
        FeatureStore(folder / "query"),
        FeatureStore(folder / "index"),
        (1,),
        RerankConfig() if config.use_local_features else None,
    )
    return {name: float(values["mAP"]) for name, values in metrics.items()}


def quality_before_and_after_int8(
    config: delf_config_pb2.DelfConfig,
    dataset_file_path: PathLike,
    images_dir: PathLike,
) -> dict[str, dict[str, float]]:
    """Compares an export with its int8 copies, and notes it beside them.

    Args:
        config: what is extracted; names the export.
        dataset_file_path: ground truth in the Revisited format.
        images_dir: folder of its `.jpg` files.

    Returns:
        `retrieval_quality` of "float32" and "int8", in percent.

    Raises:
        InputError: the data set is missing or damaged, or there are no copies.
    """
    quality = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("float32", "int8"):
            quality[precision] = retrieval_quality(
                config,
                dataset_file_path,
                images_dir,
                pathlib.Path(folder) / precision,
                functools.partial(
                    Extractor, runtime="openvino", precision=precision
                ),
            )
    write_json(pathlib.Path(config.model_path) / FOLDER / MAP_FILE, quality)
    return quality


def largest_loss(
    before: Mapping[str, float], after: Mapping[str, float]
) -> float:
    """By how many points mAP fell at most; negative if it rose.

    Of the protocols Medium and Hard, which the paper reports, before and after
    re-ranking.

    Args:
        before: of `retrieval_quality`.
        after: likewise, of the other way.
    """
    return max(
        before[name] - after[name]
        for name in before
        if name.startswith(("medium", "hard"))
    )
