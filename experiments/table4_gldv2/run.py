"""Retrieval and recognition on Google Landmarks v2 (the paper's table 4).

  python experiments/table4_gldv2/run.py --model=EXPORT --data_dir=DATA
  python experiments/table4_gldv2/run.py --demo --model=demo/model

The first is the real thing; --demo makes synthetic landmarks in the same
layout. Each of the four evaluations is one command, which is printed; those
whose metrics.json is there are passed over, and one that was cut off goes on.
"""

import pathlib
import shlex
import subprocess
import sys

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.evaluation.record import RunRecord, read_record
from delg_tf.retrieval.text_table import markdown_table
from delg_tf.workflow.checkout import in_checkout

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "Folder of an export.", required=True)
flags.DEFINE_string("data_dir", None, "Folder with gldv2/; by --demo made.")
flags.DEFINE_string("output_dir", "table4", "Folder of the results.")
flags.DEFINE_bool("demo", False, "On synthetic landmarks, in minutes.")
flags.DEFINE_enum(
    "train_list", "train", ["train", "train_clean"], "Labelled images."
)
flags.DEFINE_integer("seed", 0, "With --demo: of the images.")

_RUNS = {
    "retrieval_global": ("retrieval", False),
    "retrieval_reranked": ("retrieval", True),
    "recognition_global": ("recognition", False),
    "recognition_reranked": ("recognition", True),
}


def commands(
    data: pathlib.Path, model: pathlib.Path, output: pathlib.Path
) -> dict[str, list[str]]:
    """Returns the four command lines, by the names of their folders."""
    made = {}
    for name, (task, reranked) in _RUNS.items():
        command = [
            f"tools/evaluate_{task}.py",
            "--dataset=gldv2",
            f"--data_dir={data}",
            f"--model={model}",
            f"--output_dir={output / name}",
            "--local_format=int8",
        ]
        if task == "retrieval":
            command += ["--global_format=float16", "--single_file_features"]
        else:
            command.append(f"--train_list={FLAGS.train_list}")
        if reranked:
            command.append("--rerank")
        made[name] = command
    return made


def table(output: pathlib.Path) -> str:
    """Returns what the four have given, a line a ranking."""
    rows = []
    for ranking in ("global", "reranked"):
        retrieval = read_record(output / f"retrieval_{ranking}/metrics.json")
        named = read_record(output / f"recognition_{ranking}/metrics.json")
        found = _last(retrieval)
        rows.append(
            [
                ranking,
                *(f"{found[part]['mAP']:.2f}" for part in found),
                *(
                    f"{named.metrics[part][key]:.2f}"
                    for key in ("GAP", "top1")
                    for part in ("public", "private")
                ),
            ]
        )
    header = [
        "ranking", "mAP@100 public", "private", "GAP public", "private",
        "top-1 public", "private",
    ]  # fmt: skip
    return markdown_table(header, rows)


def _last(record: RunRecord) -> dict[str, dict]:
    """Returns the metrics after re-ranking, if there was one, by part."""
    found = {}
    for part in ("public", "private"):
        names = [name for name in record.metrics if name.startswith(part)]
        found[part] = record.metrics[max(names, key=len)]
    return found


def _absolute(path: str) -> pathlib.Path:
    return pathlib.Path(path).absolute()


def main() -> None:
    """Runs what is not there yet, and writes the table."""
    if bool(FLAGS.data_dir) == FLAGS.demo:
        raise InputError("Pass --demo, or --data_dir.")
    output, model = _absolute(FLAGS.output_dir), _absolute(FLAGS.model)
    data = _absolute(FLAGS.data_dir or output / "data")
    if FLAGS.demo:
        from delg_tf.data.synthetic.gldv2 import (
            SyntheticGldv2Config,
            build_synthetic_gldv2,
        )

        config = SyntheticGldv2Config(seed=FLAGS.seed)
        print(build_synthetic_gldv2(data / "gldv2", config))
    with in_checkout() as root:
        for name, command in commands(data, model, output).items():
            if (output / name / "metrics.json").exists():
                print(f"{name}: done before")
                continue
            print("$ python " + shlex.join(command), flush=True)
            done = subprocess.run([sys.executable, *command], cwd=root)
            if done.returncode:
                raise InputError(
                    f"{name} ended with code {done.returncode}; its message "
                    "stands above. Run again to go on from there."
                )
    text = table(output)
    (output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    cli.run(main)
