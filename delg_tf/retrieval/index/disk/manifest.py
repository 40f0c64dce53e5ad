"""The one file that says what an index in a folder consists of.

Everything else in the folder is written once, under a name of its own, and
never changed. A commit writes new files, then replaces the manifest; so at any
moment the folder holds one state, that of the manifest, whatever else lies
there.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from delg_tf.common.errors import InputError
from delg_tf.common.files import atomic_write, read_json, sha256, sync
from delg_tf.common.progress import track
from delg_tf.retrieval.index.settings import IndexSettings

MANIFEST = "manifest.json"
FORMAT = "delg_tf.image_index"
VERSION = 1
# Where all other files are, a folder a generation.
DATA = "data"
RESTORE = "Restore the folder from a copy, or build the index again."


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """A file of the index.

    Attributes:
        path: below the index's folder, with "/".
        size: bytes.
        sha256: of its bytes, in hexadecimal.
        role: what it is for, for the description.
    """

    path: str
    size: int
    sha256: str
    role: str

    @classmethod
    def of(
        cls, index: pathlib.Path, path: pathlib.Path, role: str
    ) -> "FileRecord":
        """Reads a file that was just written, and has it put on the disk."""
        sync(path)
        return cls(
            path.relative_to(index).as_posix(),
            path.stat().st_size,
            sha256(path),
            role,
        )


@dataclasses.dataclass(frozen=True)
class SegmentRecord:
    """Images that were committed together, or merged.

    Attributes:
        folder: of its files, below the index's folder.
        images: how many, removed ones too.
        described: how many of them have a global descriptor.
        files: all but metadata.
        metadata: the file of metadata, in any folder; None if there is none.
    """

    folder: str
    images: int
    described: int
    files: tuple[FileRecord, ...]
    metadata: FileRecord | None = None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A state of the index.

    Attributes:
        settings: what all images have in common.
        created: when the index was, in UTC, ISO 8601.
        changed: when this state was committed.
        generation: number of the state; each commit adds 1.
        segments: in the order of the ids.
        deleted: file of the removed rows; None if there is none.
        num_deleted: how many of them there are.
        trained: file that the kind of vectors has learnt; None if none.
    """

    settings: IndexSettings
    created: str
    changed: str
    generation: int = 0
    segments: tuple[SegmentRecord, ...] = ()
    deleted: FileRecord | None = None
    num_deleted: int = 0
    trained: FileRecord | None = None

    @property
    def num_rows(self) -> int:
        """Images, removed ones too."""
        return sum(segment.images for segment in self.segments)

    @property
    def files(self) -> list[FileRecord]:
        """All files but the manifest."""
        files = [file for part in self.segments for file in part.files]
        files += [part.metadata for part in self.segments if part.metadata]
        return files + [f for f in (self.deleted, self.trained) if f]

    @property
    def generation_folder(self) -> str:
        """Where the next state's files are written, below the folder."""
        return f"{DATA}/{self.generation + 1:08d}"


def write_manifest(index: pathlib.Path, manifest: Manifest) -> None:
    """Makes a state the current one; it is on the disk when this returns.

    Its files must be, too.
    """
    content = {"format": FORMAT, "version": VERSION}
    content |= dataclasses.asdict(manifest)
    content["checksum"] = _checksum(content)
    with atomic_write(index / MANIFEST, "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
    sync(index)


def read_manifest(index: pathlib.Path) -> Manifest:
    """Reads the current state.

    Raises:
        InputError: the manifest is missing, damaged, or of another version.
    """
    path = index / MANIFEST
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path} does not describe an index of images. Build one with "
            "tools/build_index.py."
        )
    if content.get("version") != VERSION:
        raise InputError(
            f"{path}: version {content.get('version')} is not known; this "
            f"package reads version {VERSION}. Build the index again, or use "
            "the release that made it."
        )
    checksum = content.pop("checksum", None)
    if checksum != _checksum(content):
        raise InputError(
            f"{path} is damaged: its checksum does not hold. {RESTORE}"
        )
    try:
        return _from_content(content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} holds what this package does not know: {error}. Use the "
            "release that made it."
        ) from error


def check_sizes(index: pathlib.Path, manifest: Manifest) -> None:
    """Checks that all files are there, and as long as they were.

    Raises:
        FileNotFoundError: one is missing.
        InputError: one has another size; the message names it.
    """
    for file in manifest.files:
        size = os.stat(index / file.path).st_size
        if size != file.size:
            raise InputError(
                f"{index / file.path} is damaged: it has {size} bytes instead "
                f"of {file.size}. {RESTORE}"
            )


def find_damage(index: pathlib.Path, manifest: Manifest) -> list[str]:
    """Reads all files; returns messages about those that were changed."""
    problems = []
    for file in track(manifest.files, "Verification", "file"):
        path = index / file.path
        try:
            if sha256(path) != file.sha256:
                problems.append(
                    f"{path} is damaged: its SHA-256 is another than the "
                    f"manifest's. {RESTORE}"
                )
        except OSError as error:
            problems.append(f"{path} cannot be read: {error}. {RESTORE}")
    return problems


def _checksum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _from_content(content: dict[str, Any]) -> Manifest:
    values = {k: v for k, v in content.items() if k not in _HEAD}
    values["settings"] = IndexSettings.from_dict(values["settings"])
    values["segments"] = tuple(map(_segment, values["segments"]))
    for name in ("deleted", "trained"):
        values[name] = _file(values[name])
    return Manifest(**values)


_HEAD = ("format", "version")


def _segment(content: dict[str, Any]) -> SegmentRecord:
    files = tuple(FileRecord(**file) for file in content["files"])
    metadata = _file(content["metadata"])
    return SegmentRecord(**{**content, "files": files, "metadata": metadata})


def _file(content: dict[str, Any] | None) -> FileRecord | None:
    return content and FileRecord(**content)
