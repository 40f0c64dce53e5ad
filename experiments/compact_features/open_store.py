"""How long it takes to open a store of very many images.

Writes a store of tiny images (what an image holds does not matter: opening
reads names only), opens it, reads one image. See README.md here.
"""

import pathlib
import resource
import tempfile
import time

import numpy as np
from absl import flags

from delg_tf.common import cli
from delg_tf.common.progress import track
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store import ArrowStore
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.compact.store_writer import ArrowStoreWriter
from delg_tf.features.local_features import LocalFeatures

FLAGS = flags.FLAGS
flags.DEFINE_integer("images", 1_000_000, "Images of the store.")

# As extraction writes them.
_BATCH = 64


def _image() -> CompactImage:
    features = LocalFeatures([[1, 2]], [[0.6, 0.8]], [1], [1], [0])
    return CompactImage.make(np.ones(4) / 2, features, "binary", "float16")


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Writes, opens and reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "many.arrows"
        image = _image()
        with ArrowStoreWriter.create(path, StoreInfo("binary", "float16")) as w:
            for start in track(range(0, FLAGS.images, _BATCH), "Writing"):
                end = min(start + _BATCH, FLAGS.images)
                w.append([(f"{n:016x}", image) for n in range(start, end)])
        before = _megabytes()
        start, busy = time.perf_counter(), time.process_time()
        store = ArrowStore(path)
        opened, busy = time.perf_counter(), time.process_time() - busy
        store.local_features(f"{FLAGS.images // 2:016x}")
        read = time.perf_counter()
        print(
            f"{len(store)} images, {path.stat().st_size} bytes: opened in "
            f"{opened - start:.2f} s ({busy:.2f} s of a core), one image in "
            f"{1e3 * (read - opened):.2f} ms; {_megabytes() - before:.0f} MiB"
        )


if __name__ == "__main__":
    cli.run(main)
