"""Google Landmarks v2 for retrieval: index, queries and the solution."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.csv_rows import read_rows
from delg_tf.data.gldv2_solution import Split, read_retrieval_solution
from delg_tf.data.image_files import find_by_id
from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery
from delg_tf.extraction.image_list import ImageItem
from delg_tf.protocols.data_set import LANDMARKS, ImageSet, RetrievalDataSet
from delg_tf.protocols.locations import missing, require_images

SOLUTION_FILE = "retrieval_solution_v2.1.csv"
INDEX_FILE = "index.csv"


def open_gldv2(
    folder: pathlib.Path,
    remedy: str,
    all_queries: bool = False,
    allow_missing: bool = False,
) -> RetrievalDataSet:
    """Opens Google Landmarks v2 as `tools/download_dataset.py` leaves it.

    Args:
        folder: with `index/`, `test/` and the CSV files.
        remedy: what to do if something is missing, a sentence.
        all_queries: also those that the solution ignores, for a prediction
            of all; they are most of them. They are not measured.
        allow_missing: leave out images that are not there. Right ones among
            them count as not found; queries do not count.

    Raises:
        InputError: something is missing or damaged, or a right image is not
            in the index.
    """
    for name in (SOLUTION_FILE, INDEX_FILE, "index", "test"):
        if not (folder / name).exists():
            raise missing("part of GLDv2", folder / name, remedy)
    solution = read_retrieval_solution(folder / SOLUTION_FILE)
    names = _read_ids(folder / INDEX_FILE)
    labels = {**solution.public, **solution.private}
    asked = [*labels, *(sorted(solution.ignored) if all_queries else ())]
    index = _items(folder / "index", names)
    queries = _items(folder / "test", asked)
    parts = solution.parts()
    missing_images = 0
    if allow_missing:
        every = len(queries) + len(index)
        queries = [item for item in queries if item.path.is_file()]
        index = [item for item in index if item.path.is_file()]
        missing_images = every - len(queries) - len(index)
        here = {item.name for item in queries}
        parts = {
            part: {query: right[query] for query in right if query in here}
            for part, right in parts.items()
        }
    remedy += " Or pass --allow_missing_images."
    require_images(queries, "query images of gldv2", remedy)
    require_images(index, "index images of gldv2", remedy)
    return RetrievalDataSet(
        "gldv2",
        LANDMARKS,
        ImageSet("gldv2_query", queries),
        [ImageSet("gldv2_index", index)],
        _ground_truth(queries, names, index, solution, folder),
        [folder / SOLUTION_FILE, folder / INDEX_FILE],
        folder / "test",
        folder / "index",
        solution={part: right for part, right in parts.items() if right},
        num_missing=missing_images,
    )


def _read_ids(path: pathlib.Path) -> list[str]:
    ids: dict[str, int] = {}
    for line, (name,) in read_rows(path, ("id",)):
        name = name.strip()
        if not name:
            raise InputError(f"{path}, line {line}: the id is empty.")
        if name in ids:
            raise InputError(
                f"{path}, line {line}: id {name!r} is repeated; it is in line "
                f"{ids[name]} already. Remove one of them."
            )
        ids[name] = line
    if not ids:
        raise InputError(f"{path} lists no images.")
    return list(ids)


def _items(folder: pathlib.Path, names: Sequence[str]) -> list[ImageItem]:
    """Finds the files; a missing one keeps the place where it should be."""
    table = find_by_id(folder, np.array([os.fsencode(n) for n in names]))
    return [
        ImageItem(
            name,
            folder / (os.fsdecode(path) or f"{'/'.join(name[:3])}/{name}.jpg"),
        )
        for name, path in zip(names, table.paths.tolist())
    ]


def _ground_truth(
    queries: Sequence[ImageItem],
    names: Sequence[str],
    index: Sequence[ImageItem],
    solution: Split[frozenset[str]],
    folder: pathlib.Path,
) -> RevisitedGroundTruth:
    """Right images as `easy`, as far as they are there; there is no junk."""
    listed = set(names)
    place = {item.name: i for i, item in enumerate(index)}
    none = np.zeros(0, np.int64)
    labels = []
    for query in (item.name for item in queries):
        right = solution.public.get(query) or solution.private.get(query) or ()
        unknown = sorted(set(right) - listed)
        if unknown:
            raise InputError(
                f"{folder / SOLUTION_FILE}: query {query}: images has "
                f"{unknown[0]!r}, which is not in {folder / INDEX_FILE}."
            )
        ids = sorted(place[name] for name in right if name in place)
        labels.append(RevisitedQuery(np.array(ids, np.int64), none, none))
    return RevisitedGroundTruth(
        tuple(item.name for item in queries), tuple(place), tuple(labels)
    )
