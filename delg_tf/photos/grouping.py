"""Groups among the photographs of an index, verified by local features."""

import dataclasses

from delg_tf.common.errors import InputError
from delg_tf.matching.config import MatchingConfig
from delg_tf.photos.groups import Group, GroupOptions, find_groups
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
    GroupOptions(similarity=0.9, min_inliers=100, neighbours=20),
)
LANDMARKS = GroupKind(
    "Landmarks",
    "Photographs in which the same things can be seen.",
    GroupOptions(similarity=0.5, min_inliers=30, neighbours=50),
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
        store = FeatureStore(IndexFeatures(index))
        count = InlierCounter(store, store, MatchingConfig()).count
    return find_groups(index, options, count)
