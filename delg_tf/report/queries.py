"""What the report shows of one query."""

import dataclasses
import functools
import math
import pathlib

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_local_features
from delg_tf.report import pictures
from delg_tf.report.page import Picture
from delg_tf.report.rankings import JUNK, MARKS, RIGHT, WRONG, QueryRanking
from delg_tf.report.selection import KINDS, ChosenQuery
from delg_tf.report.tables import percent
from delg_tf.retrieval.feature_store import FeatureStore

TOP = 10
_SYMBOLS = {"right": "✓", "wrong": "✗", "junk": "○"}


@dataclasses.dataclass(frozen=True)
class RankedPicture:
    """One place of a ranked list.

    Attributes:
        rank: from 1.
        name: of the index image.
        uri: its picture.
        mark: "right", "wrong" or "junk".
        symbol: of the mark.
        score: its similarity or inliers, as text.
        move: its place before re-ranking, as text, or "".
        alt: all that in words.
    """

    rank: int
    name: str
    uri: str
    mark: str
    symbol: str
    score: str
    move: str
    alt: str


@dataclasses.dataclass(frozen=True)
class QueryView:
    """All that is shown of one query.

    Attributes:
        number: on the page, from 1.
        name: of the query image.
        kind: key of `KINDS`.
        kind_title: the same for people.
        ap_before: in percent, as text.
        ap_after: in percent, as text.
        gain: with its sign, as text.
        counts: numbers of right and junk images, as text.
        photos: the query, and attention maps.
        before: the first places by similarity.
        after: the first places after re-ranking.
        matches: pictures of inliers.
    """

    number: int
    name: str
    kind: str
    kind_title: str
    ap_before: str
    ap_after: str
    gain: str
    counts: str
    photos: list[Picture]
    before: list[RankedPicture]
    after: list[RankedPicture]
    matches: list[Picture]


class QueryViews:
    """Draws queries.

    Args:
        rankings: of all queries.
        index_names: names of the index images, by id.
        images_dir: folder of the photographs.
        query_store: features of the queries.
        index_store: features of the index images.
        matching: the settings of re-ranking.
    """

    def __init__(
        self,
        rankings: list[QueryRanking],
        index_names: list[str],
        images_dir: PathLike,
        query_store: FeatureStore,
        index_store: FeatureStore,
        matching: MatchingConfig,
    ):
        self._rankings = rankings
        self._names = index_names
        self._images_dir = pathlib.Path(images_dir)
        self._query_store = query_store
        self._index_store = index_store
        self._matching = matching
        self._thumbnail = functools.lru_cache(maxsize=4096)(self._shrunk)

    def draw(self, number: int, choice: ChosenQuery) -> QueryView:
        """Returns what is shown of a query.

        Raises:
            InputError: an image or a feature file is missing.
        """
        ranking = self._rankings[choice.place]
        gain = ranking.ap_after - ranking.ap_before
        right, junk = (
            int(np.sum(ranking.marks == mark)) for mark in (RIGHT, JUNK)
        )
        return QueryView(
            number=number,
            name=ranking.name,
            kind=choice.kind,
            kind_title=KINDS[choice.kind][0],
            ap_before=percent(ranking.ap_before),
            ap_after=percent(ranking.ap_after),
            gain="–" if math.isnan(gain) else f"{gain:+.1f}",
            counts=f"{right} right and {junk} junk images in the index",
            photos=self._photos(ranking),
            before=self._places(ranking, ranking.before, is_after=False),
            after=self._places(ranking, ranking.after, is_after=True),
            matches=self._matches(ranking),
        )

    def _shrunk(self, image: int) -> str:
        pixels = pictures.load_photo(self._images_dir, self._names[image])
        return pictures.data_uri(
            pictures.shrink(pixels, pictures.THUMBNAIL_SIDE)
        )

    def _places(
        self, ranking: QueryRanking, order: np.ndarray, is_after: bool
    ) -> list[RankedPicture]:
        place_before = {image: i for i, image in enumerate(ranking.before)}
        places = []
        for rank, image in enumerate(order[:TOP].tolist(), start=1):
            mark = MARKS[ranking.marks[image]]
            inliers = _inliers(ranking, image)
            similarity = f"cosine {ranking.similarities[image]:.2f}"
            move = ""
            if is_after:
                move = f"was {place_before[image] + 1}"
            name = self._names[image]
            words = [f"Rank {rank}: {name}", mark, inliers, similarity, move]
            places.append(
                RankedPicture(
                    rank=rank,
                    name=name,
                    uri=self._thumbnail(image),
                    mark=mark,
                    symbol=_SYMBOLS[mark],
                    score=inliers if is_after else similarity,
                    move=move if is_after else inliers,
                    alt=", ".join(word for word in words if word),
                )
            )
        return places

    def _photos(self, ranking: QueryRanking) -> list[Picture]:
        """The query, its attention map, and that of an index image."""
        pixels = pictures.load_photo(self._images_dir, ranking.name)
        features = _features(self._query_store, ranking.name)
        photos = [
            Picture(
                pictures.data_uri(pictures.draw_query(pixels, ranking.box)),
                f"Query photograph {ranking.name}",
                "Query"
                + ("" if ranking.box is None else "; its box was searched for"),
            ),
            Picture(
                pictures.data_uri(
                    pictures.draw_attention_map(pixels, features)
                ),
                f"Attention map of the query {ranking.name}",
                f"Attention of the query's {len(features)} local features",
            ),
        ]
        image, mark = ranking.best(RIGHT), "best right"
        if image is None:
            image, mark = int(ranking.after[0]), "first"
        name = self._names[image]
        features = _features(self._index_store, name)
        pixels = pictures.load_photo(self._images_dir, name)
        photos.append(
            Picture(
                pictures.data_uri(
                    pictures.draw_attention_map(pixels, features)
                ),
                f"Attention map of {name}",
                f"Attention of the {mark} image's {len(features)} local "
                "features",
            )
        )
        return photos

    def _matches(self, ranking: QueryRanking) -> list[Picture]:
        """Match lines with the best right and the best wrong image."""
        found = []
        for mark in (RIGHT, WRONG):
            image = ranking.best(mark)
            if image is not None:
                found.append(self._match(ranking, image, MARKS[mark]))
        return found

    def _match(self, ranking: QueryRanking, image: int, mark: str) -> Picture:
        name = self._names[image]
        query_features = _features(self._query_store, ranking.name)
        index_features = _features(self._index_store, name)
        match = match_local_features(
            query_features, index_features, self._matching
        )
        picture = pictures.draw_inliers(
            pictures.load_photo(self._images_dir, ranking.name),
            ranking.box,
            pictures.load_photo(self._images_dir, name),
            query_features,
            index_features,
            match,
        )
        rank = int(np.flatnonzero(ranking.after == image)[0]) + 1
        caption = (
            f"{_SYMBOLS[mark]} best {mark} image, {name}, rank {rank}: "
            f"{_count(match.num_inliers, 'inlier')} of "
            f"{len(match.putative)} putative matches"
        )
        if not ranking.verified[image]:
            caption += "; too far down the global ranking to be verified"
        return Picture(
            pictures.data_uri(picture),
            f"{ranking.name} beside {name}; lines join "
            f"{_count(match.num_inliers, 'inlier')}",
            caption,
            mark,
        )


def _features(store: FeatureStore, name: str) -> LocalFeatures:
    """Returns local features; none if their file is damaged."""
    store.require_local([name])
    try:
        return store.local_features(name)
    except InputError as error:
        # Re-ranking counts no inliers for it either.
        logging.warning("The report leaves out local features: %s", error)
        return LocalFeatures.empty()


def _inliers(ranking: QueryRanking, image: int) -> str:
    if not ranking.verified[image]:
        return "not verified"
    return _count(int(ranking.inliers[image]), "inlier")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
