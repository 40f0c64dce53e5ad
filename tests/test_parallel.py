"""One function over shards, in threads, processes and by Apache Beam."""

import collections
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import shard_functions

from delg_tf.common.errors import InputError
from delg_tf.parallel import machine
from delg_tf.parallel.choice import local_runner, make_runner
from delg_tf.parallel.processes import ProcessRunner
from delg_tf.parallel.threads import ThreadRunner

TESTS = pathlib.Path(__file__).parent
BEAM_PROCESSES = "--direct_running_mode=multi_processing --direct_num_workers=2"


@pytest.fixture(autouse=True)
def _workers_find_the_functions(monkeypatch):
    paths = [str(TESTS.parent), str(TESTS)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def _runner(kind, folder):
    local = {
        "in turn": ThreadRunner(1),
        "threads": ThreadRunner(3),
        "processes": ProcessRunner(2),
    }
    if kind in local:
        return local[kind]
    options = BEAM_PROCESSES if kind == "Beam's processes" else ""
    return make_runner("DirectRunner", options, folder, None)


KINDS = ["in turn", "threads", "processes", "Beam", "Beam's processes"]


def _shards(folder, seconds=0.0):
    return [
        (str(folder), [f"{shard}-{i}" for i in range(shard)], seconds)
        for shard in (3, 1, 4, 2)
    ]


def _log(folder):
    lines = (folder / "log").read_text().splitlines()
    return [line.split() for line in lines]


@pytest.mark.parametrize("kind", KINDS)
def test_every_runner_does_each_unit_once(kind, tmp_path):
    done = []
    results = _runner(kind, tmp_path).run(
        shard_functions.write_files, _shards(tmp_path), done.append
    )
    assert [count for count, _ in results] == [3, 1, 4, 2]
    assert sum(done) == 10
    names = [name for name, _ in _log(tmp_path)]
    assert sorted(names) == sorted(
        name for _, part, _ in _shards(tmp_path) for name in part
    )
    here = os.getpid() in [process for _, process in results]
    assert here == ("rocesses" not in kind)
    # Nothing is left but the files.
    assert {path.name for path in tmp_path.iterdir()} == {*names, "log"}


@pytest.mark.parametrize("kind", KINDS[:4])
def test_bad_input_of_a_shard_arrives_as_it_is(kind, tmp_path):
    with pytest.raises(InputError, match="this is wrong"):
        _runner(kind, tmp_path).run(
            shard_functions.refuse, ["this"] * 3, lambda _: None
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS[:4])
def test_a_failure_ends_the_run(kind, tmp_path):
    # Beam's errors have its own types; tools print all kinds of OSError.
    with pytest.raises(OSError, match="the disk is full"):
        _runner(kind, tmp_path).run(
            shard_functions.break_down, [0] * 3, lambda _: None
        )


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
@pytest.mark.parametrize("kind", ["processes", "Beam's processes"])
def test_a_killed_worker_is_an_error_and_no_endless_wait(kind, tmp_path):
    with pytest.raises(ChildProcessError, match="start again"):
        _runner(kind, tmp_path).run(
            shard_functions.be_killed, [0, 1], lambda _: None
        )


def test_processes_share_the_cores(tmp_path):
    results = ProcessRunner(2).run(
        shard_functions.cores, [(tmp_path, 0), (tmp_path, 1)], lambda _: None
    )
    own = os.sched_getaffinity(0)
    parts = [set(part) for part in results]
    assert set.union(*parts) == own
    assert len(own) == 1 or not set.intersection(*parts)


def _script(folder, seconds):
    return subprocess.Popen(
        [sys.executable, TESTS / "run_shards.py", folder, str(seconds)],
        stderr=subprocess.DEVNULL,
    )


def _alive(process):
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="needs /proc")
def test_killed_half_way_and_started_again(tmp_path):
    first = _script(tmp_path, 0.2)
    deadline = time.monotonic() + 60
    while not (tmp_path / "log").exists() or len(_log(tmp_path)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    workers = {int(process) for _, process in _log(tmp_path)}
    while any(map(_alive, workers)):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.05)
    before = _log(tmp_path)
    assert len(before) < 24
    assert _script(tmp_path, 0).wait() == 0
    after = _log(tmp_path)
    assert after[: len(before)] == before
    counts = collections.Counter(name for name, _ in after)
    assert len(counts) == 24 and set(counts.values()) == {1}


@pytest.mark.parametrize(
    ("visible", "workers", "expected"),
    [
        ("", 2, [None, None]),
        ("-1", 1, [None]),
        ("2,0", 2, ["2", "0"]),
        ("3,-1,1", 2, ["3", "3"]),
        ("GPU-a,GPU-b", 3, ["GPU-a", "GPU-b", "GPU-a"]),
    ],
)
def test_every_process_gets_a_gpu(monkeypatch, visible, workers, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    shares = machine.shares(workers)
    assert [share.gpu for share in shares] == expected
    # Two on one must not take all of its memory.
    twice = {gpu for gpu in expected if gpu and expected.count(gpu) > 1}
    assert all(share.gpu_is_shared for share in shares if share.gpu in twice)


def test_what_cannot_run_is_refused(tmp_path):
    local = local_runner(1)
    assert make_runner("local", "", tmp_path, local) is local
    for name, options, folder, message in (
        ("local", "--x=1", tmp_path, "--runner_options"),
        ("FlunkRunner", "", tmp_path, "FlunkRunner"),
        ("DirectRunner", "--x='", tmp_path, "--runner_options"),
        (
            "DirectRunner",
            "--direct_num_workers=x",
            tmp_path,
            "num_workers: .*x",
        ),
        ("DirectRunner", "", "gs://bucket/features", "Mount it"),
    ):
        with pytest.raises(InputError, match=message):
            make_runner(name, options, folder, local)
