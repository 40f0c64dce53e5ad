"""The demonstration: from photographs to a report, one command after another.

It runs the very commands that the README documents, on synthetic landmarks.
"""

import dataclasses
import os
import pathlib
import platform
import time

import delg_tf
from delg_tf.common.files import existing_directory, read_json, write_json
from delg_tf.data.revisited import PROTOCOLS, load_ground_truth
from delg_tf.demo.report_page import write_demo_report
from delg_tf.retrieval.text_table import markdown_table
from delg_tf.workflow import commands
from delg_tf.workflow.checkout import as_seen_from, in_checkout
from delg_tf.workflow.stages import Stage, StageRunner

_EXPERIMENT = pathlib.Path("experiments/demo")
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
    if options.photos:
        existing_directory(options.photos, "photo folder")
        photos = str(pathlib.Path(options.photos).resolve())
        options = dataclasses.replace(options, photos=photos)
    start = time.monotonic()
    where = pathlib.Path(options.output_directory).resolve()
    with in_checkout() as root:
        # Commands say where things are as seen from the checkout.
        output = as_seen_from(root, where)
        runner = StageRunner(output / "stages.json", root, delg_tf.__version__)
        for stage in _stages(output, options):
            runner.run(stage)
        metrics = _metrics(output, options, runner.seconds)
        write_demo_report(output, metrics, options.seed)
        metrics["seconds"]["report"] = round(
            read_json(output / "report.json")["seconds"], 1
        )
        write_json(output / "metrics.json", metrics)
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
    more = []
    if options.photos:
        more.append(f"--photos={options.photos}")
    if options.quick:
        more += commands.QUICK_DATASET
    data = output / "data"
    command = commands.make_dataset(data, options.seed, *more)
    return Stage("dataset", "Landmark data set", (command,), (data,))


def _records_stage(output: pathlib.Path, options: DemoOptions) -> Stage:
    records = output / "records"
    command = commands.build_records(output / "data", records, options.seed)
    return Stage("records", "TFRecords", (command,), (records,))


def _training_stages(output: pathlib.Path, options: DemoOptions) -> list[Stage]:
    flagfile = _EXPERIMENT / "train.flags"
    quick = ["--max_iters=10", "--batch_size=16", "--eval_batches=2"]

    def stage(name: str, title: str, *more: str) -> Stage:
        command = commands.train(
            [flagfile],
            output / name,
            str(output / "records" / "train-*"),
            str(output / "records" / "validation-*"),
            options.seed,
            *(quick if options.quick else []),
            *more,
        )
        return Stage(name, title, (command,), (output / name,), (flagfile,))

    return [
        stage(
            "untrained",
            "Network without training, for comparison",
            "--max_iters=0",
        ),
        stage("training", "Training"),
    ]


def _export_stage(output: pathlib.Path) -> Stage:
    models = {"training": "model", "untrained": "untrained_model"}
    return Stage(
        "export",
        "Export",
        tuple(
            commands.export(output / logdir, output / model)
            for logdir, model in models.items()
        ),
        tuple(output / model for model in models.values()),
    )


def _extraction_stages(output: pathlib.Path) -> list[Stage]:
    data = output / "data" / "held_out"

    def stage(
        name: str, title: str, config: str, model: str, features: str
    ) -> Stage:
        path = _EXPERIMENT / config
        return Stage(
            name,
            title,
            tuple(
                commands.extract_set(
                    path,
                    output / model,
                    output / features,
                    data / "gnd.pkl",
                    data / "jpg",
                    image_set,
                )
                for image_set in ("query", "index")
            ),
            (output / features,),
            (path,),
        )

    return [
        stage(
            "extraction",
            "Extraction of global and local features",
            "extract.pbtxt",
            "model",
            "features",
        ),
        stage(
            "untrained_extraction",
            "The same without training",
            "extract_global.pbtxt",
            "untrained_model",
            "untrained_features",
        ),
    ]


def _retrieval_stages(
    output: pathlib.Path, options: DemoOptions
) -> list[Stage]:
    truth = output / "data" / "held_out" / "gnd.pkl"
    features, untrained = output / "features", output / "untrained_features"

    def results(name: str) -> pathlib.Path:
        return output / f"{name}.npz"

    def search(name: str, index: str, folder: pathlib.Path, *more: str):
        return commands.search(
            output / index, truth, folder / "query", results(name), *more
        )

    return [
        Stage(
            "index",
            "Index",
            (
                commands.build_index(features / "index", output / "index"),
                commands.build_index(
                    untrained / "index", output / "untrained_index"
                ),
            ),
            (output / "index", output / "untrained_index"),
        ),
        Stage(
            "search",
            "Search by global descriptors",
            (
                search("global", "index", features),
                search("untrained", "untrained_index", untrained),
            ),
            (results("global"), results("untrained")),
        ),
        Stage(
            "reranking",
            "Geometric re-ranking",
            (
                search(
                    "reranked",
                    "index",
                    features,
                    "--rerank",
                    f"--seed={options.seed}",
                ),
            ),
            (results("reranked"),),
        ),
        Stage(
            "evaluation",
            "Evaluation",
            tuple(
                commands.evaluate(
                    truth,
                    results(name),
                    output / "evaluation" / name,
                    *_facts(output, name),
                )
                for name in _RANKINGS
            ),
            (output / "evaluation",),
        ),
    ]


def _facts(output: pathlib.Path, name: str) -> tuple[str, ...]:
    """Flags of what the record of a ranking says of its extraction."""
    config, model = "extract.pbtxt", "model"
    if name == "untrained":
        config, model = "extract_global.pbtxt", "untrained_model"
    return (
        f"--delf_config_path={_EXPERIMENT / config}",
        f"--model_path={output / model}",
        # As `extract_set` does.
        "--queries_cropped",
    )


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
