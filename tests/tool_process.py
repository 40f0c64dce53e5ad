"""Command lines, each in a process of its own that starts at once.

Python and TensorFlow take longer to start than most tools to run. Here a
server starts them once (for all tests of a worker), and every command line
runs in a fork of it: with its own flags, TensorFlow runtime, working folder
and output, as if started anew.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
_SERVER = multiprocessing.get_context("forkserver")
# Imported by the server; nothing of them runs before the fork.
_SERVER.set_forkserver_preload(["tensorflow", "tf_keras"])


def run_tool(tool, *arguments, cwd=ROOT, limit=300):
    """Runs a script or a module to its end.

    Args:
        tool: path of a script, as seen from the repository, or `-m module`.
        *arguments: its command line.
        cwd: its working folder.
        limit: seconds that it may take.

    Returns:
        As `subprocess.run` with text output.
    """
    command = [str(tool), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder, name) for name in ("out", "err")]
        process = _SERVER.Process(
            target=_run, args=(command, str(cwd), *map(str, files))
        )
        process.start()
        process.join(limit)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, limit)
        texts = [file.read_text(encoding="utf-8") for file in files]
    return subprocess.CompletedProcess(command, process.exitcode, *texts)


def last_line(text):
    """What a tool said last; libraries may have talked before."""
    return text.rstrip("\n").rsplit("\n", 1)[-1]


def _run(command, cwd, out, err):
    for number, path in ((1, out), (2, err)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ["PYTHONPATH"] = str(ROOT)
    os.chdir(cwd)
    tool = command[0]
    sys.path.insert(0, str(ROOT))
    if tool.startswith("-m "):
        sys.argv = command
        runpy.run_module(tool[3:], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [str(ROOT / tool), *command[1:]]
        runpy.run_path(sys.argv[0], run_name="__main__")
