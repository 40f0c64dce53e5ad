"""What an index holds and what it takes."""

import dataclasses
import datetime
from typing import Any

from delg_tf.retrieval.index.settings import IndexSettings


@dataclasses.dataclass(frozen=True)
class IndexDescription:
    """Figures of an index.

    Attributes:
        place: where it is.
        settings: what all images have in common.
        images: how many there are.
        without_descriptor: how many of them are too small to have one.
        generation: number of the last commit.
        segments: parts that are searched one after the other.
        deleted: images that were removed and still take room.
        columns: type of each column of metadata, as text.
        bytes: on the disk, by what they are for.
        memory_bytes: that searching needs to be at hand.
        is_exact: whether searching finds the best, always.
        created: in UTC, ISO 8601.
        changed: likewise.
    """

    place: str
    settings: IndexSettings
    images: int
    without_descriptor: int
    generation: int
    segments: int
    deleted: int
    columns: dict[str, str]
    bytes: dict[str, int]
    memory_bytes: int
    is_exact: bool
    created: str
    changed: str

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON knows it."""
        return dataclasses.asdict(self)

    def to_rows(self) -> list[tuple[str, str]]:
        """Returns it line by line, for people."""
        settings = self.settings
        columns = (f"{name} ({kind})" for name, kind in self.columns.items())
        sizes = (f"{part} {size:,}" for part, size in self.bytes.items())
        search = "exact" if self.is_exact else "approximate"
        return [
            ("index", self.place),
            ("images", f"{self.images:,}"),
            ("without a descriptor", f"{self.without_descriptor:,}"),
            ("dimension", str(settings.dimension)),
            ("kind", f"{settings.vectors.kind}, {search}"),
            ("local features", settings.local_format or "none"),
            ("model", settings.model or "not known"),
            ("features from", settings.features_dir or "-"),
            ("metadata", ", ".join(columns) or "none"),
            ("segments", str(self.segments)),
            ("removed, not yet dropped", f"{self.deleted:,}"),
            ("bytes on disk", ", ".join(sizes)),
            ("bytes to search", f"{self.memory_bytes:,}"),
            ("generation", str(self.generation)),
            ("created, changed", f"{self.created}, {self.changed}"),
        ]


def now() -> str:
    """Returns the time in UTC, ISO 8601."""
    time = datetime.datetime.now(datetime.timezone.utc)
    return time.isoformat(timespec="seconds")
