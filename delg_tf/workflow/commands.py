"""The commands of the README, as argument lists after the interpreter."""

import pathlib
from collections.abc import Sequence

Command = tuple[str, ...]
Path = str | pathlib.Path
# Flags of `make_dataset` for little data, to see that everything runs.
QUICK_DATASET = (
    "--train_views=6",
    "--scenes=4",
    "--test_scenes=2",
    "--easy=2",
    "--hard=2",
    "--junk=1",
    "--distractors=10",
    "--queries=1",
)


def make_dataset(output: Path, seed: int, *more: str) -> Command:
    """Makes the demonstration's landmarks, in GLDv2's and Revisited's form."""
    return (
        "tools/make_demo_dataset.py",
        f"--output_directory={output}",
        f"--seed={seed}",
        *more,
    )


def build_records(data: Path, output: Path, seed: int) -> Command:
    """Writes the TFRecords of the demonstration's landmarks.

    Args:
        data: folder of `make_dataset`.
        output: folder of the records.
        seed: of split and order.
    """
    data = pathlib.Path(data)
    return (
        "tools/build_tfrecords.py",
        f"--train_directory={data / 'train'}",
        f"--train_csv_path={data / 'train.csv'}",
        f"--train_clean_csv_path={data / 'train_clean.csv'}",
        f"--output_directory={output}",
        "--num_shards=8",
        "--generate_train_validation_splits",
        "--validation_split_size=0.05",
        f"--seed={seed}",
    )


def train(
    flagfiles: Sequence[Path],
    logdir: Path,
    train_records: str,
    validation_records: str | None,
    seed: int,
    *more: str,
) -> Command:
    """Trains; of flags given twice, the later one holds.

    Args:
        flagfiles: read first, in this order.
        logdir: of the run.
        train_records: glob.
        validation_records: glob, or None.
        seed: of weights and input order.
        *more: further flags.
    """
    validation = (
        (f"--validation_file_pattern={validation_records}",)
        if validation_records
        else ()
    )
    return (
        "-m",
        "delg_tf.train",
        *(f"--flagfile={path}" for path in flagfiles),
        f"--train_file_pattern={train_records}",
        *validation,
        f"--seed={seed}",
        *more,
        f"--logdir={logdir}",
    )


def export(logdir: Path, model: Path, *more: str) -> Command:
    """Exports a training to a SavedModel."""
    return (
        "tools/export_model.py",
        f"--logdir={logdir}",
        f"--export_path={model}",
        "--overwrite",
        *more,
    )


def extract(config: Path, model: Path, output: Path, *images: str) -> Command:
    """Extracts features; `images` are the flags that name the images."""
    return (
        "tools/extract_features.py",
        f"--delf_config_path={config}",
        f"--model_path={model}",
        *images,
        f"--output_features_dir={output}",
    )


def extract_set(
    config: Path,
    model: Path,
    output: Path,
    ground_truth: Path,
    images_dir: Path,
    image_set: str,
) -> Command:
    """Extracts the "query" or "index" images of a ground truth."""
    return extract(
        config,
        model,
        pathlib.Path(output) / image_set,
        f"--dataset_file_path={ground_truth}",
        f"--images_dir={images_dir}",
        f"--image_set={image_set}",
    )


def build_index(features: Path, index: Path) -> Command:
    """Builds an index of the global descriptors in a folder."""
    return (
        "tools/build_index.py",
        f"--features_dir={features}",
        f"--index_dir={index}",
        "--overwrite",
    )


def search(
    index: Path,
    ground_truth: Path,
    query_features: Path,
    output: Path,
    *more: str,
) -> Command:
    """Searches a ground truth's queries; `--rerank` is in `more`."""
    return (
        "tools/search_features.py",
        f"--index_dir={index}",
        f"--dataset_file_path={ground_truth}",
        f"--query_features_dir={query_features}",
        f"--output={output}",
        "--overwrite",
        "--print_queries=0",
        *more,
    )


def evaluate(
    ground_truth: Path, results: Path, output: Path, *facts: str
) -> Command:
    """Evaluates search results by the Revisited protocols.

    Args:
        ground_truth: the labels.
        results: whole rankings.
        output: folder of the metrics.
        *facts: flags of what the record is to say of the extraction.
    """
    return (
        "tools/evaluate_retrieval.py",
        f"--dataset_file_path={ground_truth}",
        f"--search_results={results}",
        f"--output_dir={output}",
        "--overwrite",
        *facts,
    )


def evaluate_pairs(
    pairs: Sequence[str], features: Path, output: Path, seed: int
) -> Command:
    """Ranks pairs of images by inliers.

    Args:
        pairs: the flags that name the pairs and the folders of features
            below `features`, which may be written "{features}".
        features: folder of the features.
        output: folder of the results.
        seed: of RANSAC.
    """
    return (
        "tools/evaluate_pairs.py",
        *(flag.format(features=features) for flag in pairs),
        f"--output_dir={output}",
        f"--seed={seed}",
        "--overwrite",
    )


def learn_pca(features: Path, dim: int, output: Path, seed: int) -> Command:
    """Learns a principal component analysis of local descriptors."""
    return (
        "tools/learn_pca.py",
        f"--features_dir={features}",
        "--kind=local",
        f"--dim={dim}",
        f"--seed={seed}",
        f"--output_dir={output}",
        "--overwrite",
    )
