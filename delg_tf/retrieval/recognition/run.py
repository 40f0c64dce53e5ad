"""Recognition of many queries, written block by block."""

import csv
import dataclasses
import hashlib
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from delg_tf.common.files import (
    PathLike,
    refuse_existing,
)
from delg_tf.common.progress import Progress
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import SearchableIndex
from delg_tf.retrieval.inlier_counter import InlierCounter
from delg_tf.retrieval.prediction_csv import (
    RECOGNITION_HEADER,
    image_ids,
    write_rows,
)
from delg_tf.retrieval.ranking.config import RankingConfig
from delg_tf.retrieval.ranking.pipeline import Ranker
from delg_tf.retrieval.recognition.labels import IndexLabels
from delg_tf.retrieval.recognition.short_lists import ShortLists
from delg_tf.retrieval.recognition.votes import (
    NO_CLASS,
    RecognitionConfig,
    image_scores,
    predict_classes,
)
from delg_tf.retrieval.rerank import RerankConfig, rerank
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import query_descriptors

# Queries that are done and written together.
QUERIES_A_BLOCK = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Recogniser:
    """All that recognition needs beside the queries.

    Attributes:
        index: the images to search.
        labels: their classes.
        query_store: features of the queries.
        index_store: local features of the index images, for geometric
            verification.
        config: how images vote.
        ranking: methods around the global search.
        reranking: settings of geometric verification; None for none.
        short_lists: what the global search has found, if that is known; then
            `query_store` need not have global descriptors, and `ranking` is
            not used.
    """

    index: SearchableIndex
    labels: IndexLabels
    query_store: FeatureStore
    index_store: FeatureStore | None = None
    config: RecognitionConfig = dataclasses.field(
        default_factory=RecognitionConfig
    )
    ranking: RankingConfig = dataclasses.field(default_factory=RankingConfig)
    reranking: RerankConfig | None = None
    short_lists: ShortLists | None = None

    def ranker(self) -> Ranker | None:
        """Returns what ranks each block; made once, as it may take long."""
        if self.short_lists is not None:
            return None
        return Ranker(self.index, self.ranking)

    def counter(self) -> InlierCounter | None:
        """Returns a new counter of inliers; None without verification."""
        if self.reranking is None:
            return None
        return self.reranking.counter(self.query_store, self.index_store)

    @property
    def verified(self) -> int:
        """Number of images of each list that are verified."""
        return self.reranking.num_to_rerank if self.reranking else 0

    @property
    def depth(self) -> int:
        """Length of the lists that the global search gives."""
        return min(max(self.config.num_votes, self.verified), len(self.index))

    def predict(
        self, names: Sequence[str], ranker: Ranker | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Recognises queries; see `predict_classes` for what is returned.

        Raises:
            InputError: feature files are missing or damaged.
        """
        results = self.voters(names, ranker)
        return predict_classes(
            image_scores(results.similarities, results.inliers, self.config),
            self.labels.labels[results.ranks],
            self.config.threshold,
        )

    def voters(
        self, names: Sequence[str], ranker: Ranker | None
    ) -> SearchResults:
        """Returns the images that vote for each query, best first.

        Raises:
            InputError: feature files are missing or damaged.
        """
        # A new one a block, because it remembers all pairs.
        counter = self.counter()
        results = self._ranked(names, ranker, counter)
        if counter is not None:
            results = rerank(results, counter, self.verified)
        return results.first(self.config.num_votes)

    def _ranked(
        self,
        names: Sequence[str],
        ranker: Ranker | None,
        counter: InlierCounter | None,
    ) -> SearchResults:
        if self.short_lists is not None:
            return self.short_lists.results(names, self.index.names, self.depth)
        names, queries = query_descriptors(self.index, self.query_store, names)
        return ranker.rank(names, queries, self.depth, counter, self.verified)

    def fingerprint(self) -> str:
        """Returns a hash of index, labels and settings."""
        settings = [self.config, self.ranking, self.reranking]
        if self.reranking:
            # The number of workers changes nothing.
            settings[2] = dataclasses.replace(
                self.reranking, num_threads=None, num_processes=None
            )
        parts = [
            *self.index.names,
            *self.labels.classes,
            self.labels.labels.tobytes().hex(),
            *map(repr, settings),
        ]
        return _hash(parts)


def recognise_features(
    recogniser: Recogniser,
    output: PathLike,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
    full_names: bool = False,
) -> int:
    """Writes a GLDv2 recognition prediction, columns id and landmarks.

    `landmarks` is a class and its confidence, or empty where none is named.
    Blocks of queries that are done are kept in a hidden folder beside the
    file until it is complete: after a break, the same call goes on there. A
    call with other names, labels or settings has another folder; it does not
    notice that features have changed.

    Args:
        recogniser: the index, its labels, and the settings.
        output: CSV file to write.
        names: the queries; None for all that have a global descriptor.
        overwrite: whether the file may exist.
        full_names: see `prediction_csv.image_ids`.

    Returns:
        Number of the queries for which a class is named.

    Raises:
        InputError: files are missing, damaged or in the way.
    """
    output = refuse_existing(output, overwrite)
    names = recogniser.query_store.list_names() if names is None else names
    ids = image_ids(names, full_names)
    if recogniser.reranking:
        # Better now than in the last block.
        recogniser.query_store.require_local(names)
    work = _hash([recogniser.fingerprint(), *names, *ids])[:16]
    parts = output.with_name(f".{output.name}.parts-{work}")
    paths = [
        parts / f"{start:09d}.csv"
        for start in range(0, len(names), QUERIES_A_BLOCK)
    ]
    todo = [number for number, path in enumerate(paths) if not path.exists()]
    done = QUERIES_A_BLOCK * (len(paths) - len(todo))
    ranker = recogniser.ranker() if todo else None
    with Progress(
        len(names), "Recognition", "query", min(done, len(names))
    ) as progress:
        for number in todo:
            rows = slice(
                number * QUERIES_A_BLOCK, (number + 1) * QUERIES_A_BLOCK
            )
            classes, confidences = recogniser.predict(names[rows], ranker)
            texts = _texts(recogniser.labels.classes, classes, confidences)
            write_rows(paths[number], RECOGNITION_HEADER, zip(ids[rows], texts))
            progress.advance(len(texts))
    predictions = [row for path in paths for row in _read_part(path)]
    write_rows(output, RECOGNITION_HEADER, predictions, overwrite)
    shutil.rmtree(parts)
    return sum(bool(text) for _, text in predictions)


def _texts(
    names: Sequence[str], classes: np.ndarray, confidences: np.ndarray
) -> list[str]:
    return [
        "" if label == NO_CLASS else f"{names[label]} {confidence:.6f}"
        for label, confidence in zip(classes.tolist(), confidences.tolist())
    ]


def _read_part(path: pathlib.Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def _hash(names: Sequence[str]) -> str:
    text = "\n".join(names).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()
