"""Rankings on the disk: the lists, and beside them the labelled images."""

import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import atomic_write
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.streaming.rankings import StreamedRankings


def places_path(path: pathlib.Path) -> pathlib.Path:
    """Returns the file of labelled images beside a file of lists."""
    return path.with_name(f"{path.stem}_places.npz")


def save_rankings(path: pathlib.Path, rankings: StreamedRankings) -> None:
    """Writes lists to `path`, and places of labelled images beside it."""
    nothing = [np.zeros(0, np.int64)]
    with atomic_write(places_path(path)) as file:
        np.savez(
            file,
            lengths=np.array([len(ids) for ids in rankings.labelled]),
            labelled=np.concatenate([*nothing, *rankings.labelled]),
            places=np.concatenate([*nothing, *rankings.places]),
        )
    rankings.results.save(path, overwrite=True)


def load_rankings(path: pathlib.Path) -> StreamedRankings:
    """Reads what `save_rankings` wrote.

    Raises:
        InputError: a file is missing or damaged.
    """
    results = SearchResults.load(path)
    beside = places_path(path)
    try:
        with np.load(beside, allow_pickle=False) as arrays:
            ends = np.cumsum(arrays["lengths"])
            parts = [
                tuple(np.split(arrays[name], ends)[:-1])
                for name in ("labelled", "places")
            ]
        if not len(ends) == len(results.query_names):
            raise ValueError(f"{len(ends)} queries")
    # Of damaged archives there are many kinds of errors.
    except Exception as error:
        raise InputError(
            f"{beside} is missing or damaged ({error}). Remove the folder's "
            "stages.json and run again."
        ) from error
    return StreamedRankings(results, *parts)
