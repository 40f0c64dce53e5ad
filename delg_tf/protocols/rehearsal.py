"""A data set of one's own as the official servers would offer it.

To go the whole way, from download to report, without them.
"""

import contextlib
import functools
import http.server
import pathlib
import tarfile
import threading
from collections.abc import Iterator, Sequence

from delg_tf.common.files import PathLike, atomic_write
from delg_tf.data.revisited import RevisitedGroundTruth, save_ground_truth
from delg_tf.download.selection import find_data_sets

HOST = "127.0.0.1"


def pack_revisited(
    name: str,
    ground_truth: RevisitedGroundTruth,
    images_dir: PathLike,
    folder: PathLike,
) -> None:
    """Writes ground truth and archives under the official paths.

    Args:
        name: "roxford5k" or "rparis6k".
        ground_truth: queries, index images and labels.
        images_dir: folder of their photographs, `<name>.jpg`.
        folder: what is to be served; what is there stays.
    """
    (data_set,) = find_data_sets([name])
    archives = []
    for file in data_set.files:
        path = pathlib.Path(folder, file.path_on_server)
        if file.unpack:
            archives.append(path)
        elif not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_ground_truth(ground_truth, path)
    images = sorted(
        {*ground_truth.query_names, *ground_truth.index_names},
    )
    for number, path in enumerate(archives):
        if not path.exists():
            part = images[number :: len(archives)]
            _write_archive(path, pathlib.Path(images_dir), part)


def _write_archive(
    path: pathlib.Path, images_dir: pathlib.Path, names: Sequence[str]
) -> None:
    with (
        atomic_write(path) as file,
        tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive,
    ):
        for name in names:
            archive.add(images_dir / f"{name}.jpg", f"{name}.jpg")


@contextlib.contextmanager
def serve(folder: PathLike) -> Iterator[str]:
    """Serves a folder by HTTP on this machine alone, for a block.

    Yields:
        The address, for `--mirror`.
    """
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Says nothing: the one who downloads does."""
