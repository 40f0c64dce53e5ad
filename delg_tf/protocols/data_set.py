"""What a data set is to an evaluation: images, and what is right."""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence

from delg_tf.data.revisited import RevisitedGroundTruth
from delg_tf.extraction.image_list import ImageItem

# How results are measured.
REVISITED, OXFORD, LANDMARKS = "revisited", "oxford", "gldv2"


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images that are extracted together, and whose features are kept.

    Attributes:
        name: of the folder of their features, e.g. "roxford5k_index".
        items: the images, with boxes where they are cropped.
    """

    name: str
    items: Sequence[ImageItem]

    @property
    def names(self) -> list[str]:
        """Names of the images, in order."""
        return [item.name for item in self.items]


@dataclasses.dataclass(frozen=True)
class RetrievalDataSet:
    """Queries, index images, and what is right.

    Attributes:
        name: as users call it, e.g. "roxford5k+r1m".
        protocol: `REVISITED`, `OXFORD` or `LANDMARKS`.
        queries: images to search for; with their boxes, if any.
        index: images to search, first those of the ground truth in its order,
            then `num_distractors` that are wrong for every query.
        ground_truth: labels; of GLDv2 those of both its parts.
        sources: files that the labels come from.
        query_dir: folder of the queries' photographs.
        index_dir: of the index images', but for distractors.
        num_distractors: index images that the ground truth does not know.
        num_missing: images that were left out because they are not there.
        solution: of GLDv2: by part ("public", "private") the right images of
            each query, by their ids.
    """

    name: str
    protocol: str
    queries: ImageSet
    index: Sequence[ImageSet]
    ground_truth: RevisitedGroundTruth
    sources: Sequence[pathlib.Path]
    query_dir: pathlib.Path
    index_dir: pathlib.Path
    num_distractors: int = 0
    num_missing: int = 0
    solution: Mapping[str, Mapping[str, Collection[str]]] | None = None

    @property
    def index_names(self) -> list[str]:
        """Names of all index images; an id is a position here."""
        return [name for part in self.index for name in part.names]

    @property
    def has_boxes(self) -> bool:
        """Whether any query has a box to be cropped to."""
        return any(query.bbx for query in self.ground_truth.queries)


def without_boxes(data: RetrievalDataSet) -> RetrievalDataSet:
    """Returns the data set with whole photographs as queries."""
    whole = [dataclasses.replace(i, box=None) for i in data.queries.items]
    return dataclasses.replace(data, queries=ImageSet(data.queries.name, whole))
