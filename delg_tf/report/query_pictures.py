"""Photographs, attention maps and match lines of the report's queries."""

import functools
import pathlib

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_local_features
from delg_tf.report import pictures
from delg_tf.report.page import Picture
from delg_tf.report.photographs import Images, Photographs
from delg_tf.report.retrieval_inputs import EvaluatedQuery, Features
from delg_tf.report.text import counted
from delg_tf.retrieval.feature_store import FeatureStore

SYMBOLS = {"right": "✓", "wrong": "✗", "junk": "○"}


class QueryPictures:
    """Draws what can be drawn of queries and index images.

    Attributes:
        missing: local features that could not be read, and why.
    """

    def __init__(
        self,
        images: tuple[Images, Images] | None,
        features: tuple[Features, Features] | None,
        matching: MatchingConfig | None,
    ):
        """Opens folders; what is not there is left out of the page.

        Args:
            images: photographs of queries and of index images.
            features: local features of both.
            matching: how match lines are found; None: with the defaults.
        """
        self.missing: dict[str, str] = {}
        self._query_photos, self._index_photos = (
            Photographs(directory) for directory in images or (None, None)
        )
        self._query_store, self._index_store = (
            self._open(place) for place in features or (None, None)
        )
        self._matching = matching or MatchingConfig()
        self._thumbnail = functools.lru_cache(maxsize=4096)(self._shrunk)

    @property
    def missing_photographs(self) -> dict[str, str]:
        """Paths of photographs that could not be shown, and why."""
        return self._query_photos.missing | self._index_photos.missing

    def thumbnail(self, name: str) -> str:
        """Returns an index image's small picture, or "" if it is gone."""
        return self._thumbnail(name)

    def photos(
        self, query: EvaluatedQuery, other: str | None, mark: str
    ) -> list[Picture]:
        """The query, its attention map, and that of an index image.

        Args:
            query: the query.
            other: name of the index image, or None.
            mark: what the index image is.
        """
        shown = []
        pixels = self._query_photos.read(query.name)
        if pixels is not None:
            shown.append(
                Picture(
                    pictures.data_uri(pictures.draw_query(pixels, query.box)),
                    f"Query photograph {query.name}",
                    "Query"
                    + ("; its box was searched for" if query.box else ""),
                )
            )
            features = self._features(self._query_store, query.name)
            if features is not None:
                shown.append(
                    _attention(
                        pixels, features, f"the query {query.name}", "the query"
                    )
                )
        features = other and self._features(self._index_store, other)
        pixels = self._index_photos.read(other) if features else None
        if pixels is not None:
            who = f"the {mark} image {other}"
            shown.append(_attention(pixels, features, who, who))
        return shown

    def match(
        self, query: EvaluatedQuery, other: str, mark: str, where: str
    ) -> Picture | None:
        """Match lines between the query and an index image.

        Args:
            query: the query.
            other: name of the index image.
            mark: "right", "wrong" or "junk".
            where: its place in the ranking, as text.

        Returns:
            The picture; None where photographs or features are gone.
        """
        query_features = self._features(self._query_store, query.name)
        index_features = self._features(self._index_store, other)
        if query_features is None or index_features is None:
            return None
        photo = self._query_photos.read(query.name)
        other_photo = self._index_photos.read(other)
        if photo is None or other_photo is None:
            return None
        match = match_local_features(
            query_features, index_features, self._matching
        )
        picture = pictures.draw_inliers(
            photo, query.box, other_photo, query_features, index_features, match
        )
        inliers = counted(match.num_inliers, "inlier")
        return Picture(
            pictures.data_uri(picture),
            f"{query.name} beside {other}; lines join {inliers}",
            f"{SYMBOLS[mark]} best {mark} image, {other}, {where}: {inliers} "
            f"of {len(match.putative)} putative matches",
            mark,
        )

    def _shrunk(self, name: str) -> str:
        pixels = self._index_photos.read(name)
        if pixels is None:
            return ""
        return pictures.data_uri(
            pictures.shrink(pixels, pictures.THUMBNAIL_SIDE)
        )

    def _open(self, place: Features | None) -> FeatureStore | None:
        if place is None:
            return None
        try:
            return FeatureStore(place)
        except InputError as error:
            self._leave_out(str(place), error)
            return None

    def _features(
        self, store: FeatureStore | None, name: str
    ) -> LocalFeatures | None:
        if store is None:
            return None
        try:
            store.require_local([name])
            return store.local_features(name)
        except InputError as error:
            self._leave_out(f"{pathlib.Path(store.directory)}: {name}", error)
            return None

    def _leave_out(self, what: str, error: InputError) -> None:
        if what not in self.missing:
            logging.warning("The report leaves out local features: %s", error)
        self.missing[what] = str(error)


def _attention(
    pixels: np.ndarray, features: LocalFeatures, alt: str, caption: str
) -> Picture:
    return Picture(
        pictures.data_uri(pictures.draw_attention_map(pixels, features)),
        f"Attention map of {alt}",
        f"Attention of {counted(len(features), 'local feature')} of {caption}",
    )
