"""Table 3 of the DELG paper: retrieval on Revisited Oxford and Paris.

Real data, all cells of the table that the flags name:

  python experiments/table3_retrieval/run.py --data_dir=DATA --download \
    --models=r50_gldv2clean=runs/delg_r50_gldv2clean/model \
    --datasets=roxford5k,rparis6k --output_dir=runs/table3

Synthetic landmarks in ROxford's layout, from a server on this machine, on the
same way (download, extraction, search, re-ranking, metrics, report):

  python experiments/table3_retrieval/run.py --demo --model=demo/model
"""

import pathlib
import shlex
import subprocess
import sys

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.common.files import existing_directory, existing_file
from delg_tf.data.revisited import PROTOCOLS, load_ground_truth
from delg_tf.data.synthetic.builder import SyntheticConfig, build_dataset
from delg_tf.evaluation.record import read_record
from delg_tf.evaluation.revisited import AFTER_RERANKING
from delg_tf.protocols.rehearsal import pack_revisited, serve
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).resolve().parents[2]

flags.DEFINE_bool("demo", False, "Synthetic landmarks from a local server.")
flags.DEFINE_string(
    "model", None, "With --demo: folder of an export, e.g. demo/model."
)
flags.DEFINE_string(
    "landmarks",
    None,
    "With --demo: landmarks of tools/make_demo_dataset.py, e.g. demo/data; by "
    "default they are made.",
)
flags.DEFINE_list("models", [], "NAME=EXPORT, separated by commas.")
flags.DEFINE_list(
    "datasets", ["roxford5k", "rparis6k"], "See evaluate_retrieval.py."
)
flags.DEFINE_string("data_dir", None, "Folder of the data sets.")
flags.DEFINE_bool("download", False, "Download what is missing.")
flags.DEFINE_string("mirror", None, "With --download: take files from there.")
flags.DEFINE_list(
    "more", [], "Further flags of evaluate_retrieval.py, e.g. drop_junk."
)
flags.DEFINE_string("output_dir", "runs/table3", "Folder of the results.")


def main() -> None:
    """Runs the cells and prints the table."""
    output = pathlib.Path(FLAGS.output_dir)
    cells = _demo(output) if FLAGS.demo else _real(output)
    print(f"\n{_table(cells)}")


def _real(output: pathlib.Path) -> dict[str, pathlib.Path]:
    if not FLAGS.models or not FLAGS.data_dir:
        raise InputError(
            "Pass --models=NAME=EXPORT,... and --data_dir; or --demo."
        )
    cells = {}
    for entry in FLAGS.models:
        name, _, export = entry.partition("=")
        existing_directory(export, f"export of {name}")
        for dataset in FLAGS.datasets:
            folder = output / f"{name}-{dataset}"
            _evaluate(dataset, FLAGS.data_dir, export, folder, FLAGS.mirror)
            cells[f"{name}, {dataset}"] = folder
    return cells


def _demo(output: pathlib.Path) -> dict[str, pathlib.Path]:
    if not FLAGS.model:
        raise InputError(
            "Pass --model, the folder of an export; python tools/run_demo.py "
            "makes one, demo/model."
        )
    landmarks = pathlib.Path(FLAGS.landmarks or output / "landmarks")
    if not FLAGS.landmarks:
        build_dataset(landmarks, SyntheticConfig(train_views=2, scenes=0))
    held_out = landmarks / "held_out"
    truth = existing_file(held_out / "gnd.pkl", "ground truth of landmarks")
    pack_revisited(
        "roxford5k",
        load_ground_truth(truth),
        held_out / "jpg",
        output / "server",
    )
    folder = output / "roxford5k"
    with serve(output / "server") as address:
        _evaluate("roxford5k", output / "data", FLAGS.model, folder, address)
    return {"synthetic landmarks as roxford5k": folder}


def _evaluate(
    dataset: str,
    data_dir: pathlib.Path | str,
    model: str,
    output: pathlib.Path,
    mirror: str | None,
) -> None:
    """The documented command."""
    download = ["--download"] if FLAGS.download or FLAGS.demo else []
    command = [
        "tools/evaluate_retrieval.py",
        f"--dataset={dataset}",
        f"--data_dir={pathlib.Path(data_dir).absolute()}",
        *download,
        *([f"--mirror={mirror}"] if mirror and download else []),
        f"--model={pathlib.Path(model).absolute()}",
        "--rerank",
        *(f"--{flag}" for flag in FLAGS.more),
        f"--output_dir={output.absolute()}",
    ]
    print(f"\n$ python {shlex.join(command)}", flush=True)
    done = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
    if done.returncode:
        raise InputError("The evaluation failed; its message stands above.")


def _table(cells: dict[str, pathlib.Path]) -> str:
    rows = []
    for name, folder in cells.items():
        metrics = read_record(folder / "metrics.json").metrics
        for ranking, suffix in (("global", ""), ("re-ranked", AFTER_RERANKING)):
            values = [metrics[p + suffix]["mAP"] for p in PROTOCOLS]
            rows.append([name, ranking, *(f"{v:.2f}" for v in values)])
    return markdown_table(["mAP, %", "ranking", *PROTOCOLS], rows)


if __name__ == "__main__":
    cli.run(main)
