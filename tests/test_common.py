import json
import logging as python_logging
import os
import pathlib
import stat
import subprocess
import sys
import textwrap
import threading

import pytest
from absl import logging

from delg_tf.common import files, progress
from delg_tf.common.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parent.parent


# Files.


def test_a_written_file_is_complete_and_alone(tmp_path):
    path = tmp_path / "a" / "b" / "text.txt"
    with files.atomic_write(path, "w") as file:
        file.write("grün")
        assert not path.exists()
    assert path.read_bytes() == "grün".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["text.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "data"
    path.write_bytes(b"old")
    with pytest.raises(error), files.atomic_write(path) as file:
        file.write(b"new, but not")
        file.flush()
        raise error
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_a_file_name_of_full_length_can_be_written(tmp_path):
    path = tmp_path / ("n" * 255)
    with files.atomic_write(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


def test_written_files_have_the_usual_permissions_in_threads_too(tmp_path):
    old = os.umask(0o027)
    try:
        (tmp_path / "usual").touch()

        def write(number):
            for _ in range(20):
                files.write_json(tmp_path / f"{number}.json", number)

        threads = [threading.Thread(target=write, args=[n]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o640}
    assert len(list(tmp_path.iterdir())) == 9


def test_json_is_read_back_and_damage_is_named(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": [1, 2.5, None]})
    assert files.read_json(path) == {"a": [1, 2.5, None]}
    assert json.loads(path.read_text()) == {"a": [1, 2.5, None]}
    for damage in (b'{"a": ', b"\xff\xfe"):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=r"a\.json"):
            files.read_json(path)
    with pytest.raises(InputError, match="nothing"):
        files.read_json(tmp_path / "nothing.json")


def test_checks_of_paths(tmp_path):
    (tmp_path / "file").touch()
    assert files.existing_file(tmp_path / "file") == tmp_path / "file"
    assert files.existing_directory(str(tmp_path)) == tmp_path
    assert files.refuse_existing(tmp_path / "new") == tmp_path / "new"
    assert files.refuse_existing(tmp_path / "file", overwrite=True)
    for check, path in (
        (files.existing_file, tmp_path),
        (files.existing_directory, tmp_path / "file"),
        (files.refuse_existing, tmp_path / "file"),
    ):
        with pytest.raises(InputError, match=str(path)):
            check(path)


def test_sha256_is_the_standard_one(tmp_path):
    # printf abc | sha256sum
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


# Progress.


class _Clock:
    """Time that goes on by hand."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def lines():
    """What is logged."""
    found = []

    class Handler(python_logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    handler = Handler()
    logger = logging.get_absl_logger()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logging.set_verbosity(verbosity)


def test_progress_without_a_terminal_is_a_line_now_and_then(clock, lines):
    with progress.Progress(100, "Search", "query", done=20) as display:
        for _ in range(40):
            clock.now += 1.0
            display.advance(note="q7")
        # 40 queries in 40 s; those of the earlier run do not count.
        assert display.rate == pytest.approx(1.0)
    assert lines == [
        "Search: 30/100, 1.0 query/s, 70 s left (q7)",
        "Search: 40/100, 1.0 query/s, 60 s left (q7)",
        "Search: 50/100, 1.0 query/s, 50 s left (q7)",
        "Search: 60/100, 1.0 query/s, 40 s left (q7)",
        "Search: 60 queries in 40.0 s (1.0 query/s)",
    ]


def test_a_stage_that_fails_does_not_report_its_end(clock, lines):
    with pytest.raises(ValueError), progress.Progress(3, "Search"):
        raise ValueError
    assert lines == []


def test_track_counts_what_was_worked_on(clock, lines):
    assert list(progress.track("abc", "Work", "step")) == ["a", "b", "c"]
    assert list(progress.track(iter("ab"), "Work", total=2)) == ["a", "b"]
    assert [line.split(" in ")[0] for line in lines] == [
        "Work: 3 steps",
        "Work: 2 items",
    ]


def test_progress_on_a_terminal_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.Progress(4, "Export", "file", done=1) as display:
        display.advance(3, note="last")
    assert "Export: 100%" in capsys.readouterr().err


# Command lines.

TOOL = """
    import sys
    from absl import flags
    from delg_tf.common import cli
    from delg_tf.common.errors import InputError
    flags.DEFINE_string("what", None, "What to do.")
    def main():
        what = flags.FLAGS.what
        if what == "input":
            raise InputError("train.csv: line 3 is bad.")
        if what == "file":
            open("/nowhere/at/all")
        if what == "defect":
            raise KeyError("defect")
        print("done")
    if __name__ == "__main__":
        cli.run(main)
"""


def test_help_shows_flags_of_other_modules():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "search_features.py", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert "--index_dir" in done.stdout
    assert "--ransac_iterations" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "output", "message", "traceback"),
    [
        ([], 0, "done\n", "", False),
        (["--what=input"], 1, "", "error: train.csv: line 3 is bad.\n", False),
        (["--what=file"], 1, "", "/nowhere/at/all", False),
        (["what"], 1, "", "error: unexpected argument 'what'", False),
        (["--whta=input"], 1, "", "whta", False),
        (["--what=defect"], 1, "", "KeyError", True),
    ],
)
def test_command_lines_end_with_a_message_and_a_code(
    tmp_path, arguments, code, output, message, traceback
):
    tool = tmp_path / "tool.py"
    tool.write_text(textwrap.dedent(TOOL))
    done = subprocess.run(
        [sys.executable, tool, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == code
    assert done.stdout == output
    assert message in done.stderr
    assert ("Traceback" in done.stderr) == traceback
