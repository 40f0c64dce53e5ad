"""Runs `shard_functions.write_files` in processes; tests kill it."""

import sys

import shard_functions

from delg_tf.parallel.processes import ProcessRunner

if __name__ == "__main__":
    folder, seconds = sys.argv[1], float(sys.argv[2])
    shards = [
        (folder, [f"{shard}-{i}" for i in range(4)], seconds)
        for shard in range(6)
    ]
    ProcessRunner(2).run(shard_functions.write_files, shards, lambda _: None)
