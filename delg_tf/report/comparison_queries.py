"""Pictures of the queries that changed most from one run to another."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    PROTOCOLS,
    RevisitedGroundTruth,
    load_ground_truth,
)
from delg_tf.evaluation.comparison.numbers import LAST, QueryRow
from delg_tf.evaluation.comparison.report import Comparison
from delg_tf.evaluation.comparison.runs import Run
from delg_tf.evaluation.revisited import AFTER_RERANKING, labels_in_results
from delg_tf.report import pictures
from delg_tf.report.page import Picture
from delg_tf.report.photographs import Photographs
from delg_tf.report.query_pictures import SYMBOLS
from delg_tf.report.text import percent, points
from delg_tf.retrieval.results import SearchResults

PLACES = 10


@dataclasses.dataclass(frozen=True)
class ShownPlace:
    """An image in a ranked list.

    Attributes:
        rank: place, from 1.
        name: of the image.
        uri: its small picture; "" if it is gone.
        mark: "right", "wrong" or "junk"; "" without ground truth.
        symbol: of the mark.
        score: similarity and inliers, as text.
    """

    rank: int
    name: str
    uri: str
    mark: str
    symbol: str
    score: str


@dataclasses.dataclass(frozen=True)
class ShownList:
    """The beginning of a run's list.

    Attributes:
        heading: the run, and the query's AP in it.
        places: the first images.
    """

    heading: str
    places: list[ShownPlace]


@dataclasses.dataclass(frozen=True)
class ShownQuery:
    """A query that changed.

    Attributes:
        name: of the query.
        change: of its AP, in points.
        kind: "helped" or "hurt".
        photo: of the query with its box; None if it is gone.
        lists: of the first run, and of the one that differs most from it.
    """

    name: str
    change: str
    kind: str
    photo: Picture | None
    lists: list[ShownList]


class ComparisonPictures:
    """Draws queries and ranked lists, as far as records lead to them.

    Attributes:
        problems: what could not be shown, and why, in words.
    """

    def __init__(self, comparison: Comparison):
        """Remembers what is compared; files are opened when needed."""
        self._comparison = comparison
        self.problems: dict[str, None] = {}
        self._lists = functools.cache(self._load_lists)
        self._truth = functools.cache(self._load_truth)
        self._photographs = functools.cache(self._open_photographs)
        self._thumbnail = functools.cache(self._shrunk)
        self._labels = functools.cache(self._load_labels)

    def queries(self, number: int) -> list[ShownQuery]:
        """Returns those that changed most.

        Args:
            number: at most so many; those that did not change are left out.
        """
        changed = [row for row in self._comparison.queries if row.change]
        changed = [row for row in changed if not math.isnan(row.change)]
        shown = [self._query(row) for row in changed[:number]]
        return [query for query in shown if query.lists or query.photo]

    def _query(self, row: QueryRow) -> ShownQuery:
        runs = self._comparison.runs
        other = next(
            place
            for place, value in enumerate(row.values)
            if place and value - row.values[0] == row.change
        )
        lists = [
            ShownList(f"{runs[p].name}: AP {percent(row.values[p])}", places)
            for p in (0, other)
            if (places := self._places(p, row.name))
        ]
        return ShownQuery(
            row.name,
            points(row.change),
            "helped" if row.change > 0 else "hurt",
            self._photo(row.name),
            lists,
        )

    def _photo(self, name: str) -> Picture | None:
        for place in range(len(self._comparison.runs)):
            photographs = self._photographs(place)
            pixels = photographs and photographs.read(name)
            if pixels is None:
                continue
            truth = self._truth(place)
            box = None
            if truth and name in truth.query_names:
                box = truth.queries[truth.query_names.index(name)].bbx
            uri = pictures.data_uri(pictures.draw_query(pixels, box))
            caption = "Query" + ("; its box was searched for" if box else "")
            return Picture(uri, f"Query photograph {name}", caption)
        return None

    def _places(self, place: int, query: str) -> list[ShownPlace]:
        results = self._lists(place)
        if results is None or query not in results.query_names:
            return []
        row = list(results.query_names).index(query)
        labels = self._labels(place).get(row)
        places = []
        for k, image in enumerate(results.ranks[row, :PLACES].tolist()):
            name = results.index_names[image]
            mark = ""
            if labels is not None:
                right, junk = (
                    np.any(ids == image)
                    for ids in (labels.positives, labels.junk)
                )
                mark = "right" if right else "junk" if junk else "wrong"
            score = f"{results.similarities[row, k]:.3f}"
            if results.inliers is not None:
                score = f"{results.inliers[row, k]} inliers, {score}"
            places.append(
                ShownPlace(
                    k + 1,
                    name,
                    self._thumbnail(place, name),
                    mark,
                    SYMBOLS.get(mark, ""),
                    score,
                )
            )
        return places

    def _load_lists(self, place: int) -> SearchResults | None:
        path = self._file(place, "search_results")
        if path is None:
            return None
        try:
            results = SearchResults.load(path)
        except InputError as error:
            self.problems[str(error)] = None
            return None
        reranked = self._comparison.protocol.endswith((AFTER_RERANKING, LAST))
        return results if reranked else results.without_reranking()

    def _load_truth(self, place: int) -> RevisitedGroundTruth | None:
        path = self._file(place, "ground_truth")
        if path is None:
            return None
        try:
            return load_ground_truth(path)
        except InputError as error:
            self.problems[str(error)] = None
            return None

    def _load_labels(self, place: int) -> dict:
        truth, results = self._truth(place), self._lists(place)
        protocol = self._comparison.protocol
        for suffix in (AFTER_RERANKING, LAST):
            protocol = protocol.removesuffix(suffix)
        if truth is None or results is None or protocol not in PROTOCOLS:
            return {}
        try:
            return labels_in_results(results, truth, protocol)
        except InputError as error:
            self.problems[str(error)] = None
            return {}

    def _open_photographs(self, place: int) -> Photographs | None:
        directory = self._file(place, "images_dir")
        return None if directory is None else Photographs(directory)

    def _shrunk(self, place: int, name: str) -> str:
        photographs = self._photographs(place)
        pixels = photographs and photographs.read(name)
        if pixels is None:
            return ""
        side = pictures.THUMBNAIL_SIDE
        return pictures.data_uri(pictures.shrink(pixels, side))

    def _file(self, place: int, what: str) -> str | None:
        run: Run = self._comparison.runs[place]
        path = (run.record.files or {}).get(what)
        if path is None:
            words = what.replace("_", " ").replace("images dir", "images")
            self.problems[f"{run.name} names no {words}."] = None
        return path

    def missing(self) -> Sequence[str]:
        """Returns what was not shown, in words."""
        gone = [
            f"{path}: {reason}"
            for place in range(len(self._comparison.runs))
            if (photographs := self._photographs(place))
            for path, reason in photographs.missing.items()
        ]
        if gone:
            self.problems[f"No picture of {len(gone)}, e.g. {gone[0]}."] = None
        return list(self.problems)
