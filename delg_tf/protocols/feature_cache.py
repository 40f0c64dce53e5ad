"""Features that are extracted once, in folders named by what they depend on.

A folder holds the features and `description.json`, which says in words what
went into its name.
"""

import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import logging
from google.protobuf import text_format

import delg_tf
from delg_tf.common.errors import InputError
from delg_tf.common.files import read_json, write_json
from delg_tf.extraction.identity import extraction_identity
from delg_tf.extraction.image_list import ImageItem
from delg_tf.extraction.run import extract_images
from delg_tf.features.storage.base import FeatureSource
from delg_tf.features.storage.choice import open_source
from delg_tf.protocols.data_set import ImageSet
from delg_tf.protocols.extraction_settings import ExtractionSettings

DESCRIPTION = "description.json"
# Hexadecimal digits of a hash in the name of a folder.
_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class CachedFeatures:
    """Features of an image set.

    Attributes:
        folder: of the cache.
        place: folder or file that `storage.open_source` opens.
        names: of the images, in order.
        skipped: (name, reason) of those that have no features.
        description: content of `description.json`.
    """

    folder: pathlib.Path
    place: pathlib.Path
    names: Sequence[str]
    skipped: Sequence[tuple[str, str]]
    description: dict[str, Any]

    def open(self) -> FeatureSource:
        """Opens the features for reading."""
        return open_source(self.place)


@dataclasses.dataclass(frozen=True)
class CachePlace:
    """Where the features of an image set belong.

    Attributes:
        folder: named by the hash of `content`.
        images: the images.
        content: what the features depend on.
    """

    folder: pathlib.Path
    images: ImageSet
    content: dict[str, Any]


class FeatureCache:
    """Extracts what is not there yet.

    Args:
        folder: of the folders of features.
        settings: of extraction.
    """

    def __init__(self, folder: pathlib.Path, settings: ExtractionSettings):
        self._folder = folder
        self._settings = settings
        self._identity = extraction_identity(settings.config)

    def locate(self, images: ImageSet) -> CachePlace:
        """Returns where the features of an image set are, or will be."""
        content = self._content(images)
        name = f"{images.name}-{_hash_of(content)[:_DIGITS]}"
        return CachePlace(self._folder / name, images, content)

    def is_finished(self, images: ImageSet) -> bool:
        """Whether all features of an image set are there."""
        place = self.locate(images)
        path = place.folder / DESCRIPTION
        return path.is_file() and bool(read_json(path).get("finished"))

    def extract(self, where: CachePlace) -> CachedFeatures:
        """Returns the features of an image set, extracting what is missing.

        Raises:
            InputError: the model is unfit, or no image can be used.
        """
        images, content, folder = where.images, where.content, where.folder
        path = folder / DESCRIPTION
        description = read_json(path) if path.is_file() else {}
        if description.get("content", content) != content:
            raise InputError(
                f"{path} is of other features than its folder's name says. "
                "Remove the folder."
            )
        place = self._settings.place(folder)
        if not (description.get("finished") and place.exists()):
            description = {**self._described(content), **description}
            write_json(path, description)
            description = self._extract(images, folder, description)
            write_json(path, description)
        else:
            logging.info("Features of %s are in %s.", images.name, folder)
        skipped = [tuple(entry) for entry in description["skipped"]]
        return CachedFeatures(folder, place, images.names, skipped, description)

    def _extract(
        self, images: ImageSet, folder: pathlib.Path, description: dict
    ) -> dict[str, Any]:
        settings, start = self._settings, time.monotonic()
        with settings.open_sink(folder) as sink:
            summary = extract_images(
                settings.config,
                images.items,
                sink,
                settings.make_extractor(),
                batch_size=settings.batch_size,
                **settings.run_options,
            )
        print(f"{images.name}: {summary.describe()}", flush=True)
        seconds = time.monotonic() - start
        return description | {
            # What a run that was cut off took is not known.
            "seconds": round(seconds, 1) if not summary.reused else None,
            "images_per_second": round(summary.images_per_second, 2),
            "skipped": summary.skipped,
            "finished": not summary.skipped,
        }

    def _content(self, images: ImageSet) -> dict[str, Any]:
        """What the features depend on, beside this program."""
        return {
            "model_and_settings": self._identity,
            "runtime": self._settings.runtime,
            "precision": self._settings.precision,
            "local_features": self._settings.config.use_local_features,
            **self._settings.formats,
            "images": len(images.items),
            "images_sha256": _hash_of_images(images.items),
            "cropped_images": sum(
                item.box is not None for item in images.items
            ),
        }

    def _described(self, content: dict[str, Any]) -> dict[str, Any]:
        """What the features are, for people."""
        return {
            "what": "Features extracted by delg-tf; may be removed.",
            "delg_tf": delg_tf.__version__,
            "content": content,
            "model": self._settings.config.model_path,
            "extraction": text_format.MessageToString(self._settings.config),
            "finished": False,
        }


def _hash_of(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_of_images(items: Sequence[ImageItem]) -> str:
    """Hash of names, boxes and sizes of files.

    The contents of a million images would take hours to read; another image
    of the very same size is the user's own.
    """
    digest = hashlib.sha256()
    for item in items:
        size = item.path.stat().st_size
        line = f"{item.name}\t{item.box}\t{size}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
