"""Many training commands in one process, for those that end early.

Starting Python and TensorFlow takes longer than they do.
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
_MARK = "=== end of command, code "
# Each command line gets what `python -m delg_tf.train` gives it.
_SCRIPT = f"""
import json, sys
from absl import flags
from delg_tf import train
from delg_tf.common import cli

for command in json.load(sys.stdin):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    sys.argv = ["train.py", *command]
    code = 0
    try:
        cli.run(train.main)
    except SystemExit as end:
        code = end.code
    print("{_MARK}", code, file=sys.stderr, sep="", flush=True)
"""


def run_commands(commands):
    """Runs command lines one after another.

    Args:
        commands: lists of flags.

    Returns:
        For each the exit code and what it wrote to stderr.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=json.dumps([list(map(str, command)) for command in commands]),
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = done.stderr.split(_MARK)
    codes = [int(part.split("\n", 1)[0]) for part in parts[1:]]
    return list(zip(codes, parts[:-1], strict=True))
