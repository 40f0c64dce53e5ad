"""What a query by ASMK* costs: the inverted file against pair by pair.

Images have random words, as many as the paper's, and random signs: there is
nothing to be found, but as much to be compared as with real ones.

See README.md here for the command and what it gave.
"""

import json
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from delg_tf.aggregation.config import parse_aggregation_config
from delg_tf.aggregation.inverted_index import InvertedIndex
from delg_tf.aggregation.inverted_writer import write_inverted_index
from delg_tf.aggregation.representation import Aggregated
from delg_tf.aggregation.similarity import similarity
from delg_tf.common import cli

FLAGS = flags.FLAGS
flags.DEFINE_integer("images", 100_000, "Images of the index.", lower_bound=1)
flags.DEFINE_integer("codebook_size", 65_536, "Visual words.", lower_bound=1)
flags.DEFINE_integer("words", 500, "Words of an image.", lower_bound=1)
flags.DEFINE_integer("dimension", 128, "Signs of a word.", lower_bound=1)
flags.DEFINE_integer("queries", 20, "Queries.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of words and signs.")
flags.DEFINE_bool("json", False, "Print the figures as JSON in the last line.")
flags.DEFINE_bool("quick", False, "Seconds: 2,000 images and 3 queries.")


def _image(number: int | str) -> Aggregated:
    """Returns an image, the same for the same number."""
    rng = np.random.default_rng([FLAGS.seed, int(number)])
    words = np.unique(rng.integers(0, FLAGS.codebook_size, FLAGS.words))
    shape = (len(words), -(-FLAGS.dimension // 8))
    signs = rng.integers(0, 256, shape, np.uint8)
    return Aggregated(signs, words.astype(np.uint32))


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Builds an index, searches it, and prints the times."""
    if FLAGS.quick:
        FLAGS.images, FLAGS.queries = 2_000, 3
    config = parse_aggregation_config(
        f"codebook_size: {FLAGS.codebook_size} aggregation_type: ASMK_STAR "
        f"feature_dimensionality: {FLAGS.dimension}"
    )
    names = [str(number) for number in range(FLAGS.images)]
    queries = [_image(FLAGS.images + n) for n in range(FLAGS.queries)]
    pairs = [_image(n) for n in range(min(FLAGS.images, 1_000))]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "index")
        build = _seconds(
            lambda: write_inverted_index(path, names, _image, config)
        )
        index = InvertedIndex(path)
        index.scores(queries[0])
        times, pairwise = [], []
        for query in queries:
            times.append(_seconds(lambda q=query: index.scores(q)))
            pairwise.append(
                _seconds(
                    lambda q=query: [similarity(q, p, config) for p in pairs]
                )
            )
        figures = {
            "images": FLAGS.images,
            "build_s": build,
            "bytes_an_image": index.num_bytes / len(index),
            "query_ms": 1e3 * float(np.median(times)),
            "pair_by_pair_ms": (
                1e3 * float(np.median(pairwise)) / len(pairs) * FLAGS.images
            ),
        }
    for name, value in figures.items():
        print(f"{name}: {value:.1f}")
    if FLAGS.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    cli.run(main)
