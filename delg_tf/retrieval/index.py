"""Exact search among global descriptors."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

import faiss
import numpy as np

from delg_tf.common.atomic_directory import atomic_directory
from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    existing_directory,
    existing_file,
    read_json,
    write_json,
)

FORMAT = "delg_tf.global_index"
VERSION = 1
# Float32 descriptors are normalised only so far.
NORM_TOLERANCE = 1e-3
# Of an image without a descriptor to any other: no cosine is less.
LEAST_SIMILARITY = -1.0

_MANIFEST = "manifest.json"
_NAMES = "names.txt"
_DESCRIPTORS = "descriptors.faiss"
_REBUILD = "Build the index again."
# Names of files need not be valid UTF-8.
_NAME_ERRORS = "surrogateescape"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `manifest.json` of a stored index says.

    Attributes:
        format: always `FORMAT`.
        version: version of the folder's layout.
        type: kind of index; "flat_ip" is exact inner product.
        dimension: length of the descriptors.
        count: number of images.
        features_dir: where the images' feature files were, or "".
        names_sha256: SHA-256 of `names.txt`.
        empty_ids: ids of the images without a descriptor, ascending.
    """

    format: str
    version: int
    type: str
    dimension: int
    count: int
    features_dir: str
    names_sha256: str
    empty_ids: Sequence[int] = ()


class GlobalIndex:
    """Names and descriptors of the index images, searched by FAISS.

    Similarity is the inner product, which is the cosine, because descriptors
    are L2-normalised. The search is exact.

    Images that are too small to have a descriptor keep their ids, and come
    last in every list.
    """

    def __init__(
        self,
        names: Sequence[str],
        flat: faiss.IndexFlat,
        features_dir: str,
        empty_ids: np.ndarray,
    ):
        """Takes a filled FAISS index; callers use `build` or `load`."""
        self.names = tuple(names)
        self.features_dir = str(features_dir)
        # int64 [E], of images whose row in FAISS is zeros.
        self.empty_ids = empty_ids
        self._flat = flat

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        descriptors: np.ndarray,
        features_dir: PathLike = "",
    ) -> "GlobalIndex":
        """Builds the index.

        Args:
            names: distinct names of the images; an image's id is its
                position here.
            descriptors: float32 [N, D], L2-normalised; zeros where an image
                has none.
            features_dir: where the images' feature files are, for later.

        Raises:
            InputError: names are not distinct lines of text.
            ValueError: shapes do not fit, or descriptors are not normalised.
        """
        descriptors = check_descriptors("descriptors", descriptors)
        _check_names(names)
        if len(names) != len(descriptors):
            raise ValueError(
                f"`names` must have one name a descriptor. Received: "
                f"{len(names)} names, {len(descriptors)} descriptors."
            )
        flat = faiss.IndexFlatIP(descriptors.shape[1])
        flat.add(descriptors)
        empty_ids = np.flatnonzero(~descriptors.any(axis=1))
        return cls(names, flat, str(features_dir), empty_ids)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dimension(self) -> int:
        """Length of the descriptors."""
        return self._flat.d

    def search(
        self, queries: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the most similar images of each query.

        Args:
            queries: float32 [Q, D], L2-normalised; zeros for one without a
                descriptor.
            k: number of images for each query, from 1 to the index size.

        Returns:
            ids: int64 [Q, k], most similar first, equal ones by id.
            similarities: float32 [Q, k], in the same order; -1 if one of the
                two images has no descriptor.

        Raises:
            ValueError: shapes do not fit, or `k` is out of range.
        """
        queries = check_descriptors("queries", queries, self.dimension)
        if not 1 <= k <= len(self):
            raise ValueError(
                f"`k` must be between 1 and the index size, {len(self)}. "
                f"Received: {k}"
            )
        ids = np.tile(np.arange(k), (len(queries), 1))
        similarities = np.full(ids.shape, LEAST_SIMILARITY, np.float32)
        known = queries.any(axis=1)
        if known.any():
            ids[known], similarities[known] = self._search(queries[known], k)
        return ids, similarities

    def _search(
        self, queries: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Does what `search` does for queries that have a descriptor."""
        # FAISS keeps any of several equal images at the cut; the order asks
        # for those with the lowest ids. So look deeper until the cut is past
        # the last equal one.
        depth = min(k + 1 + len(self.empty_ids), len(self))
        while True:
            similarities, ids = self._flat.search(queries, depth)
            cut = similarities[:, -1:].copy()
            if len(self.empty_ids):
                empty = np.isin(ids, self.empty_ids)
                similarities[empty] = LEAST_SIMILARITY
            order = np.lexsort((ids, -similarities), axis=1)[:, :k]
            similarities = np.take_along_axis(similarities, order, axis=1)
            if depth == len(self) or np.all(similarities[:, -1:] > cut):
                return np.take_along_axis(ids, order, axis=1), similarities
            depth = min(2 * depth, len(self))

    def save(self, directory: PathLike, overwrite: bool = False) -> None:
        """Writes the index as a folder, whole or not at all.

        Args:
            directory: the folder to write.
            overwrite: whether an older index there is replaced.

        Raises:
            InputError: the folder exists and may not be replaced.
        """
        with atomic_directory(directory, _MANIFEST, overwrite) as folder:
            names = "".join(f"{name}\n" for name in self.names).encode(
                errors=_NAME_ERRORS
            )
            (folder / _NAMES).write_bytes(names)
            faiss.write_index(self._flat, str(folder / _DESCRIPTORS))
            manifest = Manifest(
                format=FORMAT,
                version=VERSION,
                type="flat_ip",
                dimension=self.dimension,
                count=len(self),
                features_dir=self.features_dir,
                names_sha256=hashlib.sha256(names).hexdigest(),
                empty_ids=self.empty_ids.tolist(),
            )
            write_json(folder / _MANIFEST, dataclasses.asdict(manifest))

    @classmethod
    def load(cls, directory: PathLike) -> "GlobalIndex":
        """Reads an index that `save` wrote.

        Raises:
            InputError: the folder is missing, damaged, or of another version;
                the message names the file.
        """
        directory = existing_directory(directory, "index")
        manifest = _read_manifest(directory / _MANIFEST)
        names = _read_names(directory / _NAMES, manifest)
        path = existing_file(directory / _DESCRIPTORS)
        try:
            flat = faiss.read_index(str(path))
        except RuntimeError as error:
            raise InputError(f"{path} is no FAISS index. {_REBUILD}") from error
        if (
            not isinstance(flat, faiss.IndexFlat)
            or flat.metric_type != faiss.METRIC_INNER_PRODUCT
            or (flat.ntotal, flat.d) != (manifest.count, manifest.dimension)
        ):
            raise InputError(
                f"{path} is not what its manifest says. {_REBUILD}"
            )
        empty_ids = np.array(manifest.empty_ids, np.int64)
        return cls(names, flat, manifest.features_dir, empty_ids)


def check_descriptors(
    what: str, descriptors: np.ndarray, dimension: int | None = None
) -> np.ndarray:
    """Returns descriptors as the search needs them.

    Args:
        what: name of the argument, for the message.
        descriptors: float [N, D], N and D at least 1; each row L2-normalised,
            or zeros for an image without a descriptor.
        dimension: D, if known.

    Returns:
        float32 [N, D], contiguous.

    Raises:
        ValueError: they are not so.
    """
    descriptors = np.ascontiguousarray(descriptors, dtype=np.float32)
    if (
        descriptors.ndim != 2
        or not descriptors.size
        or descriptors.shape[1] != (dimension or descriptors.shape[1])
    ):
        raise ValueError(
            f"`{what}` must be [N, {dimension or 'D'}] with N at least 1. "
            f"Received: shape {descriptors.shape}"
        )
    norms = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors))
    # Written so that a NaN fails too.
    unit = np.abs(norms - 1.0) <= NORM_TOLERANCE
    bad = np.flatnonzero(~(unit | (norms == 0)))
    if bad.size:
        raise ValueError(
            f"`{what}` must be L2-normalised. Received: row {bad[0]} with "
            f"norm {norms[bad[0]]}"
        )
    return descriptors


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise InputError("The index has two images of the same name.")
    for name in names:
        if not name or len(name.splitlines()) != 1 or name != name.strip():
            raise InputError(
                f"{name!r} cannot be the name of an image: names are single "
                "lines without blanks around. Rename its feature files."
            )


def _read_manifest(path: pathlib.Path) -> Manifest:
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} does not describe a global index.")
    if content.get("version") != VERSION:
        raise InputError(
            f"{path}: version {content.get('version')} is not known; this "
            f"package reads version {VERSION}. {_REBUILD}"
        )
    try:
        manifest = Manifest(**content)
        ids = np.array(manifest.empty_ids)
        if ids.size and (
            ids.dtype.kind != "i"
            or ids.min() < 0
            or ids.max() >= manifest.count
        ):
            raise ValueError("`empty_ids` are no ids of images")
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}. {_REBUILD}") from error
    return manifest


def _read_names(path: pathlib.Path, manifest: Manifest) -> list[str]:
    content = existing_file(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.names_sha256:
        raise InputError(f"{path} is not what its manifest says. {_REBUILD}")
    return content.decode(errors=_NAME_ERRORS).splitlines()
