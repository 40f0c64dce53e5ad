"""What a result came from: libraries, machine, lists of images, models."""

import datetime
import hashlib
import importlib.metadata
import pathlib
import platform
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

import psutil

import delg_tf
from delg_tf.common.files import PathLike, existing_directory, sha256
from delg_tf.parallel.machine import available_cores

# Those whose version can change a number: networks, images, matching, search.
PACKAGES = (
    "tensorflow", "tf_keras", "openvino", "onnxruntime", "numpy", "numba",
    "scipy", "faiss-cpu", "opencv-python-headless", "scikit-image", "pillow",
)  # fmt: skip
_CPU_INFO = pathlib.Path("/proc/cpuinfo")


def library_versions() -> dict[str, str | None]:
    """Returns versions of this package, of Python and of `PACKAGES`.

    Returns:
        By name; None for a package that is not installed under that name.
    """
    versions: dict[str, str | None] = {
        "delg-tf": delg_tf.__version__,
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def machine() -> dict[str, Any]:
    """Returns what this machine is; its name and users are left out.

    Returns:
        `cpu` (model, or None), `cores` (that this process may use),
        `memory_bytes`, `platform`, and `gpus` (names).
    """
    return {
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "platform": platform.platform(),
        "gpus": _gpu_names(),
    }


def now() -> str:
    """Returns the time in UTC, to the second, in ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(
        timespec="seconds"
    )


def hash_of_names(names: Iterable[str]) -> str:
    """Returns the SHA-256 of names in their order, in hexadecimal.

    It is that of a UTF-8 text file with a name a line, so that `sha256sum`
    checks it.

    Args:
        names: of images.
    """
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def hash_of_folder(folder: PathLike) -> str:
    """Returns a SHA-256 of all files of a folder: their paths and contents.

    Where the folder lies and what it is called does not matter. It is that of
    the sorted lines "<SHA-256 of the file>  <path in the folder>", with "/"
    between the parts of a path.

    Args:
        folder: for example an exported model.

    Raises:
        InputError: there is no such folder.
    """
    folder = existing_directory(folder)
    paths = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file()
    }
    return hash_of_names(
        f"{sha256(paths[name])}  {name}" for name in sorted(paths)
    )


def _cpu_model() -> str | None:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip() or None
    return platform.processor() or None


def _gpu_names() -> list[str]:
    """Names of NVIDIA GPUs; asks neither CUDA nor TensorFlow."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    done = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines() if not done.returncode else []
