"""This machine's processors and GPUs, dealt out to processes."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/{}"


@dataclasses.dataclass(frozen=True)
class Share:
    """What one process gets.

    Attributes:
        cores: numbers of processors; empty where the system cannot bind.
        gpu: its name in CUDA_VISIBLE_DEVICES, or None.
        gpu_is_shared: whether other processes get the same one.
    """

    cores: tuple[int, ...]
    gpu: str | None = None
    gpu_is_shared: bool = False


def shares(workers: int) -> list[Share]:
    """Deals out processors and GPUs evenly, neighbours together."""
    cores, gpus = _cores(), visible_gpus()
    result = []
    for i in range(workers):
        begin, end = (len(cores) * k // workers for k in (i, i + 1))
        # More processes than processors: some get the same one.
        part = cores[begin : max(end, begin + 1)]
        gpu = gpus[i % len(gpus)] if gpus else None
        result.append(Share(tuple(part), gpu, len(gpus) < workers))
    return result


def available_cores() -> int:
    """Number of processors that this process may use."""
    return len(_cores()) or os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """NVIDIA GPUs by their names in CUDA_VISIBLE_DEVICES.

    Asks neither CUDA nor TensorFlow, which would keep this process on them.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        names = [name.strip() for name in named.split(",")]
        # CUDA ignores what follows the first that is none.
        end = next((i for i, n in enumerate(names) if n in ("", "-1")), None)
        return names[:end]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    done = subprocess.run(
        [program, "-L"], capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line[:4] == "GPU "]
    return [str(i) for i in range(len(lines))] if not done.returncode else []


def _cores() -> list[int]:
    """Processors in the order of sockets, the threads of a core together."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(
        os.sched_getaffinity(0),
        key=lambda cpu: (
            _number(_TOPOLOGY.format(cpu, "physical_package_id")),
            _number(_TOPOLOGY.format(cpu, "core_id")),
            cpu,
        ),
    )


def _number(path: str) -> int:
    try:
        return int(pathlib.Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
