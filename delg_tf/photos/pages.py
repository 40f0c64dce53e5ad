"""Search results and groups as pages."""

from collections.abc import Sequence

from delg_tf.common.files import PathLike
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_local_features
from delg_tf.photos.groups import Group, GroupOptions
from delg_tf.photos.searching import PhotoHit, PhotoSearch
from delg_tf.report.photo_pages import (
    ShownGroup,
    ShownMatch,
    ShownPhoto,
    ShownSearch,
    write_groups_page,
    write_search_page,
)
from delg_tf.retrieval.index.base import ImageIndex

# Pictures of matches for each query, and thumbnails of a group.
_MATCHES = 4
_PHOTOS = 50


def search_page(
    path: PathLike,
    index: ImageIndex,
    searches: Sequence[PhotoSearch],
    matching: MatchingConfig,
    settings: dict[str, str],
) -> None:
    """Writes the lists with thumbnails, match lines and attention maps.

    Args:
        path: the file to write or replace.
        index: what was searched.
        searches: what was found.
        matching: how match lines are found.
        settings: shown at the end.
    """
    shown = [
        ShownSearch(
            search.path,
            search.features.local,
            [_photo(hit) for hit in search.hits],
            _matches(index, search, matching),
        )
        for search in searches
    ]
    write_search_page(path, shown, settings)


def groups_page(
    path: PathLike,
    index: ImageIndex,
    groups: Sequence[Group],
    title: str,
    lead: str,
    options: GroupOptions,
) -> None:
    """Writes the groups with thumbnails.

    Args:
        path: the file to write or replace.
        index: where the photographs are.
        groups: the groups.
        title: of the page.
        lead: what the groups are.
        options: shown at the end.
    """
    settings = {
        "index": index.place,
        "least similarity": f"{options.similarity:g}",
        "least inliers": str(options.min_inliers),
        "least share of the features": f"{options.min_share:g}",
    }
    shown = [_group(index, group) for group in groups]
    write_groups_page(path, title, lead, shown, settings)


def _photo(hit: PhotoHit) -> ShownPhoto:
    lines = [f"cosine {hit.similarity:.3f}"]
    if hit.inliers is not None:
        noun = "inlier" if hit.inliers == 1 else "inliers"
        lines.insert(0, f"{hit.inliers} {noun}")
    return ShownPhoto(hit.name, hit.path, lines)


def _matches(
    index: ImageIndex, search: PhotoSearch, matching: MatchingConfig
) -> list[ShownMatch]:
    if search.features.local is None or index.settings.local_format is None:
        return []
    shown = []
    for hit in search.hits[:_MATCHES]:
        features = index.local(hit.name).decode()
        match = match_local_features(search.features.local, features, matching)
        shown.append(ShownMatch(_photo(hit), features, match))
    return shown


def _group(index: ImageIndex, group: Group) -> ShownGroup:
    count = len(group.names)
    inliers = [link.inliers for link in group.links if link.inliers is not None]
    note = f"{count} photographs, {len(group.links)} links"
    if inliers:
        note += f" of {min(inliers)} to {max(inliers)} inliers"
    photos = []
    for name in group.names[:_PHOTOS]:
        known = index.metadata(name)
        size = known.get("bytes")
        lines = [] if size is None else [f"{size / 1000:,.0f} kB"]
        photos.append(ShownPhoto(name, known.get("path"), lines))
    return ShownGroup(note, photos, max(0, count - _PHOTOS))
