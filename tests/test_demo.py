"""Stages run once; the demonstration runs from photographs to the report."""

import json
import pathlib

import pytest
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.workflow.stages import Stage, StageRunner

ROOT = pathlib.Path(__file__).parent.parent


def append(path, text, then=""):
    """A command that appends to a file."""
    return ("-c", f"open({str(path)!r}, 'a').write({text!r}); {then}")


def stages(folder, second="b"):
    log = folder / "log"
    return [
        Stage("one", "One", (append(log, "a"),), (log,)),
        Stage(
            "two",
            "Two",
            (append(log, second), append(folder / "out", "x")),
            (folder / "out",),
            (folder / "input",),
        ),
        Stage("three", "Three", (append(log, "c"),), ()),
    ]


def run(folder, version="1", **changes):
    runner = StageRunner(folder / "state.json", folder, version)
    for stage in stages(folder, **changes):
        runner.run(stage)
    return (folder / "log").read_text()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "input").write_text("1")
    return tmp_path


def test_finished_stages_are_passed_over(folder):
    assert run(folder) == "abc"
    assert run(folder) == "abc"


def test_a_changed_command_repeats_its_stage_and_those_after(folder):
    run(folder)
    assert run(folder, second="B") == "abcBc"
    assert (folder / "out").read_text() == "x"


def test_a_changed_input_repeats_its_stage_and_those_after(folder):
    run(folder)
    (folder / "input").write_text("2")
    assert run(folder) == "abcbc"


def test_a_missing_output_repeats_its_stage(folder):
    run(folder)
    (folder / "out").unlink()
    assert run(folder) == "abcbc"


def test_another_version_repeats_everything(folder):
    run(folder)
    # The first stage's output is the log itself, so it starts anew.
    assert run(folder, version="2") == "abc"


def test_a_failed_stage_goes_on_and_its_time_adds_up(folder):
    flag = folder / "flag"
    command = (
        "-c",
        "import pathlib, sys, time; time.sleep(0.2); "
        f"p = pathlib.Path({str(flag)!r}); done = p.exists(); p.touch(); "
        "sys.exit(0 if done else 3)",
    )
    # The output of the cut-off run is kept for the next one.
    stage = Stage("only", "Only", (command,), (flag,))
    state = folder / "state.json"
    with pytest.raises(InputError, match="ended with code 3"):
        StageRunner(state, folder, "1").run(stage)
    runner = StageRunner(state, folder, "1")
    runner.run(stage)
    assert runner.seconds["only"] >= 0.4


def test_quick_demo_runs_from_photographs_to_the_report(tmp_path):
    output = tmp_path / "demo"
    command = (
        "tools/run_demo.py",
        f"--output_directory={output}",
        "--quick",
    )
    first = run_tool(*command, limit=900)
    assert first.returncode == 0, first.stderr[-3000:]
    metrics = json.loads((output / "metrics.json").read_text())
    for ranking in ("untrained", "global", "reranked"):
        values = metrics["held_out"][ranking]
        assert set(values) == {"easy", "medium", "hard"}
        assert all(0 < value <= 100 for value in values.values())
    assert set(metrics["seconds"]) >= {
        "dataset",
        "records",
        "training",
        "export",
        "extraction",
        "index",
        "search",
        "reranking",
        "evaluation",
        "report",
    }
    lines = first.stdout.strip().splitlines()
    assert lines[-1].endswith("report.html")
    assert "<html" in (output / "report.html").read_text(encoding="utf-8")
    assert f"{metrics['held_out']['reranked']['hard']:.2f}" in lines[-3]

    features = output / "features" / "index" / "landmark000_easy0.delg_local"
    written = features.stat().st_mtime_ns
    second = run_tool(*command)
    assert second.returncode == 0, second.stderr[-3000:]
    assert features.stat().st_mtime_ns == written
    assert second.stdout.count("done before") == len(
        json.loads((output / "stages.json").read_text())
    )
    again = json.loads((output / "metrics.json").read_text())
    assert again["held_out"] == metrics["held_out"]


def test_demo_with_a_missing_photo_folder_is_refused(tmp_path):
    result = run_tool(
        "tools/run_demo.py",
        f"--output_directory={tmp_path / 'demo'}",
        "--photos=no/such/folder",
    )
    assert result.returncode == 1
    assert "no/such/folder" in result.stderr
    assert "Traceback" not in result.stderr
