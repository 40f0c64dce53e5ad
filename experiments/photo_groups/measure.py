"""Chooses what links photographs of a group, and shows what it is worth.

An album is made of each group of the demonstration's landmarks: all of its
photographs, and copies of some in another size, compression, crop and tone.
Photographs of one landmark belong together, and so do copies and their
original. Thresholds are chosen on the validation album alone.
"""

import itertools
import pathlib

import numpy as np
from absl import flags
from PIL import Image, ImageEnhance
from scipy import sparse
from scipy.sparse import csgraph

from delg_tf.common import cli
from delg_tf.common.files import atomic_write, refuse_existing
from delg_tf.extraction.config import load_config
from delg_tf.extraction.extractor import Extractor
from delg_tf.photos.grouping import inlier_counts
from delg_tf.photos.groups import GroupOptions, candidate_pairs
from delg_tf.photos.indexing import IndexingOptions, index_photos
from delg_tf.retrieval.index.choice import open_index
from delg_tf.retrieval.text_table import markdown_table

FLAGS = flags.FLAGS
flags.DEFINE_string("demo", "demo", "Working folder of tools/run_demo.py.")
flags.DEFINE_string("albums", None, "Folder for the albums; kept if there.")
flags.DEFINE_integer("originals", 60, "Photographs of an album with copies.")
flags.DEFINE_string("output", None, "Markdown file to write.")
flags.DEFINE_bool("overwrite", False, "Replace --output.")
flags.mark_flags_as_required(["albums", "output"])

_SIMILARITIES = tuple(np.round(np.arange(0.3, 1.0, 0.1), 2))
_INLIERS = (10, 20, 40, 60, 80, 100, 150, 200, 300)
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_CANDIDATES = GroupOptions(similarity=0.3, min_inliers=0)
_EDITS = ("half", "jpeg30", "crop", "tone")


def _edited(image: Image.Image, edit: str) -> tuple[Image.Image, dict]:
    width, height = image.size
    if edit == "half":
        return image.resize((width // 2, height // 2)), {"quality": 90}
    if edit == "crop":
        box = (width // 10, height // 10, width, height)
        return image.crop(box), {"quality": 90}
    if edit == "tone":
        brighter = ImageEnhance.Brightness(image).enhance(1.25)
        return ImageEnhance.Contrast(brighter).enhance(0.8), {"quality": 90}
    return image, {"quality": 30}


def _make_album(source: pathlib.Path, album: pathlib.Path) -> None:
    album.mkdir(parents=True, exist_ok=True)
    paths = sorted(source.glob("landmark*.jpg"))
    with_copies = paths[:: max(1, len(paths) // FLAGS.originals)]
    for path in sorted(source.glob("*.jpg")):
        with Image.open(path) as image:
            image.convert("RGB").save(album / path.name, quality=95)
            if path not in with_copies:
                continue
            for edit in _EDITS:
                copy, options = _edited(image.convert("RGB"), edit)
                copy.save(album / f"{path.stem}.{edit}.jpg", **options)


class _Album:
    """Pairs of an album, and which of them belong together."""

    def __init__(self, group: str):
        folder = pathlib.Path(FLAGS.albums) / group
        if not folder.exists():
            source = pathlib.Path(FLAGS.demo, "data", group, "jpg")
            _make_album(source, folder)
        place = pathlib.Path(FLAGS.albums) / f"{group}.index"
        config = load_config(
            "experiments/demo/extract.pbtxt", pathlib.Path(FLAGS.demo, "model")
        )
        index_photos(folder, place, IndexingOptions(config=config), Extractor)
        index = open_index(place)
        self.pairs, self.similarities = candidate_pairs(index, _CANDIDATES)
        names = [(index.names[a], index.names[b]) for a, b in self.pairs]
        self.inliers, self.features = inlier_counts(index)(names)
        self.original, self.landmark = _labels(index.names)

    def found(
        self, similarity: float, inliers: int, share: float
    ) -> np.ndarray:
        """Returns the number of each photograph's group, int [N]."""
        kept = self.similarities >= similarity
        kept &= self.inliers >= inliers
        kept &= self.inliers >= share * self.features
        edges = self.pairs[kept].T
        count = len(self.original)
        graph = sparse.coo_matrix(
            (np.ones(edges.shape[1]), edges), shape=(count, count)
        )
        return csgraph.connected_components(graph, directed=False)[1]


def _labels(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each photograph its original and its landmark, int [N]."""
    originals = [name.split(".")[0] for name in names]
    landmarks = [name.split("_")[0] for name in originals]
    return tuple(
        np.unique(labels, return_inverse=True)[1]
        for labels in (originals, landmarks)
    )


def _quality(found: np.ndarray, wanted: np.ndarray) -> tuple[float, ...]:
    """Returns precision, recall and F1 over pairs of photographs."""
    same = found[:, None] == found
    right = wanted[:, None] == wanted
    upper = np.triu_indices(len(found), 1)
    same, right = same[upper], right[upper]
    hits = np.count_nonzero(same & right)
    precision = hits / max(1, np.count_nonzero(same))
    recall = hits / np.count_nonzero(right)
    return precision, recall, 2 * hits / (same.sum() + right.sum())


def main() -> None:
    """Measures, and writes the table."""
    refuse_existing(FLAGS.output, FLAGS.overwrite)
    validation, held_out = (_Album(g) for g in ("validation", "held_out"))
    rows = []
    for kind in ("original", "landmark"):
        for verified in (False, True):
            grid = itertools.product(
                _SIMILARITIES,
                _INLIERS if verified else (0,),
                _SHARES if verified else (0.0,),
            )
            best = max(
                grid,
                key=lambda o, kind=kind: _quality(
                    validation.found(*o), getattr(validation, kind)
                )[2],
            )
            values = [
                _quality(album.found(*best), getattr(album, kind))
                for album in (validation, held_out)
            ]
            rows.append(
                [
                    kind,
                    f"{best[0]:.2f}",
                    str(best[1]) if verified else "-",
                    f"{best[2]:.1f}" if verified else "-",
                    *(
                        " / ".join(f"{100 * x:.1f}" for x in value)
                        for value in values
                    ),
                ]
            )
    header = ["one", "similarity", "inliers", "share", "validation", "held-out"]
    table = markdown_table(header, rows)
    print(table)
    with atomic_write(FLAGS.output, "w") as file:
        file.write(f"{table}\n")


if __name__ == "__main__":
    cli.run(main)
