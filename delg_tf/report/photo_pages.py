"""Pages about the user's own photographs: search results, groups."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from delg_tf.common.files import PathLike
from delg_tf.common.progress import Progress
from delg_tf.extraction.images import UnreadableImageError, load_image
from delg_tf.features.local_features import LocalFeatures
from delg_tf.matching.match import Match
from delg_tf.report import pictures
from delg_tf.report.page import Picture, write_page


@dataclasses.dataclass(frozen=True)
class ShownPhoto:
    """A photograph in a row of thumbnails.

    Attributes:
        name: of the photograph.
        path: of its file, or None.
        lines: what is said below it.
    """

    name: str
    path: str | None
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True, eq=False)
class ShownMatch:
    """Two photographs with lines between what agrees.

    Attributes:
        photo: the second one.
        features: its local features.
        match: of the query and it.
    """

    photo: ShownPhoto
    features: LocalFeatures
    match: Match


@dataclasses.dataclass(frozen=True, eq=False)
class ShownSearch:
    """What a page shows of one query.

    Attributes:
        path: file of the query.
        features: its local features; None: no attention map.
        found: photographs, best first.
        matches: some of them, with their matches.
    """

    path: str
    features: LocalFeatures | None
    found: Sequence[ShownPhoto]
    matches: Sequence[ShownMatch]


@dataclasses.dataclass(frozen=True)
class ShownGroup:
    """Photographs that belong together.

    Attributes:
        note: what they have in common, in words.
        photos: some of them, or all.
        hidden: how many more there are.
    """

    note: str
    photos: Sequence[ShownPhoto]
    hidden: int = 0


def write_search_page(
    path: PathLike,
    searches: Sequence[ShownSearch],
    settings: dict[str, str],
) -> None:
    """Writes the results of searches, with match lines and attention maps.

    Photographs that are no longer there are shown as such.

    Args:
        path: the file to write or replace.
        searches: what was found.
        settings: names and values, at the end of the page.
    """
    thumbnail = _Thumbnails()
    queries = []
    with Progress(len(searches), "Report", "query") as progress:
        for search in searches:
            queries.append(
                {
                    "name": search.path,
                    "photos": _query_pictures(search),
                    "places": [thumbnail.place(p) for p in search.found],
                    "matches": _match_pictures(search),
                }
            )
            progress.advance(note=search.path)
    write_page(
        path,
        "search.html",
        {
            "title": "Search results",
            "queries": queries,
            "settings": settings,
        },
    )


def write_groups_page(
    path: PathLike,
    title: str,
    lead: str,
    groups: Sequence[ShownGroup],
    settings: dict[str, str],
) -> None:
    """Writes groups of photographs.

    Args:
        path: the file to write or replace.
        title: of the page.
        lead: a sentence on what the groups are.
        groups: the groups.
        settings: names and values, at the end of the page.
    """
    thumbnail = _Thumbnails()
    shown = []
    with Progress(len(groups), "Report", "group") as progress:
        for group in groups:
            places = [thumbnail.place(photo) for photo in group.photos]
            shown.append(
                {"note": group.note, "places": places, "hidden": group.hidden}
            )
            progress.advance()
    content = {
        "title": title,
        "lead": lead,
        "groups": shown,
        "settings": settings,
    }
    write_page(path, "groups.html", content)


class _Thumbnails:
    """Small pictures of photographs, each made once."""

    def __init__(self) -> None:
        self._uri = functools.lru_cache(maxsize=4096)(self._shrunk)

    def place(self, photo: ShownPhoto) -> dict[str, object]:
        """Returns what the template shows of a photograph."""
        return {
            "name": photo.name,
            "path": photo.path or "",
            "uri": self._uri(photo.path),
            "lines": photo.lines,
            "alt": ", ".join([photo.name, *photo.lines]),
        }

    @staticmethod
    def _shrunk(path: str | None) -> str:
        pixels = _pixels(path)
        if pixels is None:
            return ""
        return pictures.data_uri(
            pictures.shrink(pixels, pictures.THUMBNAIL_SIDE)
        )


def _pixels(path: str | None) -> np.ndarray | None:
    """Returns the photograph; None where it can no longer be read."""
    if path is None:
        return None
    try:
        return load_image(path).pixels
    except UnreadableImageError:
        return None


def _query_pictures(search: ShownSearch) -> list[Picture]:
    pixels = _pixels(search.path)
    if pixels is None:
        return []
    shown = [
        Picture(
            pictures.data_uri(pictures.draw_query(pixels, None)),
            f"Query photograph {search.path}",
            "Query",
        )
    ]
    if search.features is not None:
        shown.append(_attention("the query", pixels, search.features))
    for match in search.matches[:1]:
        first = _pixels(match.photo.path)
        if first is not None:
            shown.append(_attention(match.photo.name, first, match.features))
    return shown


def _attention(
    name: str, pixels: np.ndarray, features: LocalFeatures
) -> Picture:
    return Picture(
        pictures.data_uri(pictures.draw_attention_map(pixels, features)),
        f"Attention map of {name}",
        f"Attention of the {len(features)} local features of {name}",
    )


def _match_pictures(search: ShownSearch) -> list[Picture]:
    query = _pixels(search.path)
    shown = []
    for one in search.matches:
        pixels = _pixels(one.photo.path)
        if query is None or pixels is None or search.features is None:
            continue
        picture = pictures.draw_inliers(
            query, None, pixels, search.features, one.features, one.match
        )
        count = one.match.num_inliers
        noun = "inlier" if count == 1 else "inliers"
        shown.append(
            Picture(
                pictures.data_uri(picture),
                f"{search.path} beside {one.photo.name}; lines join {count} "
                f"{noun}",
                f"{one.photo.name}: {count} {noun} of "
                f"{len(one.match.putative)} putative matches",
            )
        )
    return shown
