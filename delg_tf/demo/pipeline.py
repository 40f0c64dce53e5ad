"""The demonstration: from photographs to a report, one command after another.

It runs the very commands that the README documents, on synthetic landmarks.
"""

import dataclasses
import os
import pathlib
import platform
import time

import delg_tf
from delg_tf.common.errors import InputError
from delg_tf.common.files import existing_directory, read_json, write_json
from delg_tf.data.revisited import PROTOCOLS, load_ground_truth
from delg_tf.demo.stages import Stage, StageRunner
from delg_tf.matching.config import MatchingConfig
from delg_tf.report.report import ReportInputs, write_report
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.text_table import markdown_table

_RANKINGS = {
    "untrained": "untrained network, global descriptor",
    "global": "trained network, global descriptor",
    "reranked": "re-ranked by geometric verification",
}


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """What the demonstration is run with.

    Attributes:
        output_directory: folder of everything made.
        photos: folder of the user's own photographs, or None.
        seed: of data, weights, input order and RANSAC.
        quick: little data and training, to see that everything runs.
    """

    output_directory: str = "demo"
    photos: str | None = None
    seed: int = 0
    quick: bool = False


def run_demo(options: DemoOptions) -> dict:
    """Runs all stages that are not done, and writes the report.

    Args:
        options: where and with what.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: a stage failed, or this is no checkout of the repository.
    """
    root = pathlib.Path(delg_tf.__file__).parent.parent
    if not (root / "experiments" / "demo").is_dir():
        raise InputError(
            "The demonstration needs a checkout of the repository; the "
            f"package in {root} has no experiments/demo."
        )
    if options.photos:
        existing_directory(options.photos, "photo folder")
    start = time.monotonic()
    # Commands run in the checkout; say where things are as seen from there.
    output = pathlib.Path(options.output_directory).resolve()
    if output.is_relative_to(root):
        output = output.relative_to(root)
    previous = os.getcwd()
    os.chdir(root)
    try:
        runner = StageRunner(output / "stages.json", root, delg_tf.__version__)
        for stage in _stages(output, options):
            runner.run(stage)
        metrics = _metrics(output, options, runner.seconds)
        _report(output, metrics, options)
        metrics["seconds"]["report"] = round(
            read_json(output / "report.json")["seconds"], 1
        )
        write_json(output / "metrics.json", metrics)
    finally:
        os.chdir(previous)
    print(_summary(metrics, time.monotonic() - start, output))
    return metrics


def _stages(output: pathlib.Path, options: DemoOptions) -> list[Stage]:
    """The commands of all stages but the report."""
    return [
        _dataset_stage(output, options),
        _records_stage(output, options),
        *_training_stages(output, options),
        _export_stage(output),
        *_extraction_stages(output),
        *_retrieval_stages(output, options),
    ]


def _dataset_stage(output: pathlib.Path, options: DemoOptions) -> Stage:
    command = [
        "tools/make_demo_dataset.py",
        f"--output_directory={output / 'data'}",
        f"--seed={options.seed}",
    ]
    if options.photos:
        command.append(f"--photos={pathlib.Path(options.photos).resolve()}")
    if options.quick:
        command += [
            "--train_views=6",
            "--scenes=4",
            "--test_scenes=2",
            "--easy=2",
            "--hard=2",
            "--junk=1",
            "--distractors=10",
            "--queries=1",
        ]
    return Stage(
        "dataset", "Landmark data set", (tuple(command),), (output / "data",)
    )


def _records_stage(output: pathlib.Path, options: DemoOptions) -> Stage:
    data = output / "data"
    command = (
        "tools/build_tfrecords.py",
        f"--train_directory={data / 'train'}",
        f"--train_csv_path={data / 'train.csv'}",
        f"--train_clean_csv_path={data / 'train_clean.csv'}",
        f"--output_directory={output / 'records'}",
        "--num_shards=8",
        "--generate_train_validation_splits",
        "--validation_split_size=0.05",
        f"--seed={options.seed}",
    )
    return Stage("records", "TFRecords", (command,), (output / "records",))


def _training_stages(output: pathlib.Path, options: DemoOptions) -> list[Stage]:
    flagfile = pathlib.Path("experiments/demo/train.flags")
    common = [
        "-m",
        "delg_tf.train",
        f"--flagfile={flagfile}",
        f"--train_file_pattern={output / 'records' / 'train-*'}",
        f"--validation_file_pattern={output / 'records' / 'validation-*'}",
        f"--seed={options.seed}",
    ]
    if options.quick:
        common += ["--max_iters=10", "--batch_size=16", "--eval_batches=2"]
    stages = []
    for name, title, flags in (
        (
            "untrained",
            "Network without training, for comparison",
            ["--max_iters=0"],
        ),
        ("training", "Training", []),
    ):
        logdir = output / name
        stages.append(
            Stage(
                name,
                title,
                ((*common, *flags, f"--logdir={logdir}"),),
                (logdir,),
                (flagfile,),
            )
        )
    return stages


def _export_stage(output: pathlib.Path) -> Stage:
    models = {"training": "model", "untrained": "untrained_model"}
    commands = tuple(
        (
            "tools/export_model.py",
            f"--logdir={output / logdir}",
            f"--export_path={output / model}",
            "--overwrite",
        )
        for logdir, model in models.items()
    )
    return Stage(
        "export",
        "Export",
        commands,
        tuple(output / model for model in models.values()),
    )


def _extraction_stages(output: pathlib.Path) -> list[Stage]:
    data = output / "data" / "held_out"

    def command(config: str, model: str, image_set: str, features: str):
        return (
            "tools/extract_features.py",
            f"--delf_config_path=experiments/demo/{config}",
            f"--model_path={output / model}",
            f"--dataset_file_path={data / 'gnd.pkl'}",
            f"--images_dir={data / 'jpg'}",
            f"--image_set={image_set}",
            f"--output_features_dir={output / features / image_set}",
        )

    stages = []
    for name, title, config, model, features in (
        (
            "extraction",
            "Extraction of global and local features",
            "extract.pbtxt",
            "model",
            "features",
        ),
        (
            "untrained_extraction",
            "The same without training",
            "extract_global.pbtxt",
            "untrained_model",
            "untrained_features",
        ),
    ):
        stages.append(
            Stage(
                name,
                title,
                tuple(
                    command(config, model, image_set, features)
                    for image_set in ("query", "index")
                ),
                (output / features,),
                (pathlib.Path("experiments/demo") / config,),
            )
        )
    return stages


def _retrieval_stages(
    output: pathlib.Path, options: DemoOptions
) -> list[Stage]:
    truth = f"--dataset_file_path={output / 'data' / 'held_out' / 'gnd.pkl'}"
    features = {
        "untrained": output / "untrained_features",
        "global": output / "features",
        "reranked": output / "features",
    }

    def build(folder: pathlib.Path, index: str) -> tuple[str, ...]:
        return (
            "tools/build_index.py",
            f"--features_dir={folder / 'index'}",
            f"--index_dir={output / index}",
            "--overwrite",
        )

    def search(name: str, index: str, *more: str) -> tuple[str, ...]:
        return (
            "tools/search.py",
            f"--index_dir={output / index}",
            truth,
            f"--query_features_dir={features[name] / 'query'}",
            f"--output={output / name}.npz",
            "--overwrite",
            "--print_queries=0",
            *more,
        )

    def evaluate(name: str) -> tuple[str, ...]:
        return (
            "tools/evaluate_retrieval.py",
            truth,
            f"--search_results={output / name}.npz",
            f"--output_dir={output / 'evaluation' / name}",
            "--overwrite",
        )

    return [
        Stage(
            "index",
            "Index",
            (
                build(features["global"], "index"),
                build(features["untrained"], "untrained_index"),
            ),
            (output / "index", output / "untrained_index"),
        ),
        Stage(
            "search",
            "Search by global descriptors",
            (search("global", "index"), search("untrained", "untrained_index")),
            (output / "global.npz", output / "untrained.npz"),
        ),
        Stage(
            "reranking",
            "Geometric re-ranking",
            (
                search(
                    "reranked",
                    "index",
                    "--rerank",
                    f"--seed={options.seed}",
                ),
            ),
            (output / "reranked.npz",),
        ),
        Stage(
            "evaluation",
            "Evaluation",
            tuple(evaluate(name) for name in _RANKINGS),
            (output / "evaluation",),
        ),
    ]


def _metrics(
    output: pathlib.Path, options: DemoOptions, seconds: dict[str, float]
) -> dict:
    """Collects what the stages measured."""
    held_out = {}
    for name in _RANKINGS:
        values = read_json(output / "evaluation" / name / "metrics.json")
        suffix = "_after_gv" if name == "reranked" else ""
        held_out[name] = {
            protocol: values["metrics"][protocol + suffix]["mAP"]
            for protocol in PROTOCOLS
        }
    truth = load_ground_truth(output / "data" / "held_out" / "gnd.pkl")
    images = len(truth.index_names) + len(truth.query_names)
    training = read_json(output / "training" / "model.json")["training"]
    trained = training["max_iters"] * training["batch_size"]
    return {
        "held_out": held_out,
        "seconds": seconds,
        "images_per_second": {
            "training": round(trained / max(seconds["training"], 1e-9), 1),
            "extraction": round(images / max(seconds["extraction"], 1e-9), 1),
        },
        "seed": options.seed,
        "quick": options.quick,
        "data": read_json(output / "data" / "dataset.json"),
        "environment": {
            "delg_tf": delg_tf.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "processors": os.cpu_count(),
        },
    }


def _report(output: pathlib.Path, metrics: dict, options: DemoOptions) -> None:
    """Writes the report, and how long that took."""
    print("\n== Report", flush=True)
    start = time.monotonic()
    data = output / "data" / "held_out"
    write_report(
        ReportInputs(
            title="DELG on held-out landmarks",
            metrics=metrics,
            logdir=output / "training",
            ground_truth=load_ground_truth(data / "gnd.pkl"),
            images_dir=data / "jpg",
            query_features_dir=output / "features" / "query",
            index_features_dir=output / "features" / "index",
            global_results=SearchResults.load(output / "global.npz"),
            reranked_results=SearchResults.load(output / "reranked.npz"),
            matching=MatchingConfig(seed=options.seed),
        ),
        output / "report.html",
    )
    write_json(output / "report.json", {"seconds": time.monotonic() - start})


def _summary(metrics: dict, seconds: float, output: pathlib.Path) -> str:
    """Times, the table of results, and the path of the report."""
    times = ", ".join(
        f"{name.replace('_', ' ')} {value:.0f} s"
        for name, value in metrics["seconds"].items()
    )
    rates = ", ".join(
        f"{name} {value:.0f}"
        for name, value in metrics["images_per_second"].items()
    )
    rows = [
        [_RANKINGS[name], *(f"{values[p]:.2f}" for p in PROTOCOLS)]
        for name, values in metrics["held_out"].items()
    ]
    table = markdown_table(
        ["mAP on held-out landmarks, %", *(p.capitalize() for p in PROTOCOLS)],
        rows,
    )
    return (
        f"\nThis run took {seconds:.0f} s. Stages: {times}. Images a second: "
        f"{rates}. Seed {metrics['seed']}.\n\n{table}\n\n"
        f"{output / 'report.html'}"
    )
