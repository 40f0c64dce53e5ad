"""Search results and groups as tables and as JSON."""

from collections.abc import Sequence
from typing import Any

from delg_tf.photos.groups import Group
from delg_tf.photos.searching import PhotoSearch
from delg_tf.retrieval.index.base import ImageIndex
from delg_tf.retrieval.text_table import markdown_table

# What tells a file's state, and is of no use to people.
_HIDDEN = ("modified",)


def search_table(searches: Sequence[PhotoSearch]) -> str:
    """Returns the lists as Markdown."""
    header = ["query", "rank", "similarity", "inliers", "photograph"]
    rows = [
        [
            search.path,
            str(hit.rank),
            f"{hit.similarity:.4f}",
            "-" if hit.inliers is None else str(hit.inliers),
            hit.path or hit.name,
        ]
        for search in searches
        for hit in search.hits
    ]
    return markdown_table(header, rows)


def search_json(searches: Sequence[PhotoSearch]) -> list[dict[str, Any]]:
    """Returns the lists as JSON knows them."""
    return [
        {
            "query": search.path,
            "found": [
                {
                    "rank": hit.rank,
                    "name": hit.name,
                    "similarity": round(hit.similarity, 6),
                    "inliers": hit.inliers,
                    **_shown(hit.metadata),
                }
                for hit in search.hits
            ],
        }
        for search in searches
    ]


def groups_table(groups: Sequence[Group], index: ImageIndex) -> str:
    """Returns the groups as Markdown, a line a photograph."""
    rows = []
    for number, group in enumerate(groups, start=1):
        for name in group.names:
            known = index.metadata(name)
            size = known.get("bytes")
            rows.append(
                [
                    str(number),
                    "-" if size is None else str(size),
                    known.get("path") or name,
                ]
            )
    return markdown_table(["group", "bytes", "photograph"], rows)


def groups_json(
    groups: Sequence[Group], index: ImageIndex
) -> list[dict[str, Any]]:
    """Returns the groups as JSON knows them."""
    return [
        {
            "group": number,
            "photographs": [
                {"name": name, **_shown(index.metadata(name))}
                for name in group.names
            ],
            "links": [
                {
                    "names": list(link.names),
                    "similarity": round(link.similarity, 6),
                    "inliers": link.inliers,
                }
                for link in group.links
            ],
        }
        for number, group in enumerate(groups, start=1)
    ]


def _shown(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns what is known, as JSON knows it."""
    return {
        key: value
        if value is None or isinstance(value, (str, int, float, bool))
        else str(value)
        for key, value in metadata.items()
        if key not in _HIDDEN
    }
