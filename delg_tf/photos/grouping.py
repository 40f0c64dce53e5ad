"""Groups among the photographs of an index, verified by local features."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.matching.config import MatchingConfig
from delg_tf.photos.groups import CountInliers, Group, GroupOptions, find_groups
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import ImageIndex
from delg_tf.retrieval.index.index_features import IndexFeatures
from delg_tf.retrieval.inlier_counter import InlierCounter


@dataclasses.dataclass(frozen=True)
class GroupKind:
    """A kind of groups.

    Attributes:
        title: of its page.
        lead: what they are, in a sentence.
        options: what makes a link, unless the user says otherwise.
    """

    title: str
    lead: str
    options: GroupOptions

    def changed(self, **changes: object) -> GroupOptions:
        """Returns the options with what the user says (what is not None)."""
        return dataclasses.replace(
            self.options,
            **{
                key: value
                for key, value in changes.items()
                if value is not None
            },
        )


# The thresholds are chosen in experiments/photo_groups.
DUPLICATES = GroupKind(
    "Near-duplicates",
    "The same photograph in another size, compression, tone or crop.",
    GroupOptions(similarity=0.7, min_inliers=60, min_share=0.5),
)
LANDMARKS = GroupKind(
    "Landmarks",
    "Photographs in which the same things can be seen.",
    GroupOptions(similarity=0.3, min_inliers=80, min_share=0.2),
)


def group_photos(index: ImageIndex, options: GroupOptions) -> list[Group]:
    """Finds groups in an index; see `find_groups`.

    Raises:
        InputError: the filter is wrong, or inliers are asked for and the
            index keeps no local features.
    """
    count = None
    if options.min_inliers:
        if index.settings.local_format is None:
            raise InputError(
                f"The index {index.place} keeps no local features, so nothing "
                "can be verified: pass --min_inliers=0, and a higher "
                "--similarity."
            )
        count = inlier_counts(index)
    return find_groups(index, options, count)


def inlier_counts(index: ImageIndex) -> CountInliers:
    """Returns what verifies pairs of photographs of an index.

    A feature of the second photograph counts once. Without that, many
    features of the first that resemble one of the second would pass for a
    match of the whole.

    Args:
        index: one that keeps local features.
    """
    store = FeatureStore(IndexFeatures(index))
    counter = InlierCounter(store, store, MatchingConfig(unique_inliers=True))
    features = functools.cache(lambda name: len(index.local(name)))

    def count(
        pairs: Sequence[tuple[str, str]],
    ) -> tuple[np.ndarray, np.ndarray]:
        smaller = [min(map(features, pair)) for pair in pairs]
        return counter.count(pairs), np.array(smaller, np.int32)

    return count
