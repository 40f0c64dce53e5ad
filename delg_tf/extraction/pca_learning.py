"""Learns a PCA of descriptors from feature files.

So the DELF baseline reduces its local descriptors: L2-normalisation, PCA,
L2-normalisation. Extraction does it with the files that are written here
(`use_pca` and `pca_parameters` of a configuration, see `post_processing`).
Learn from features that were extracted without a PCA. Global descriptors are
projected at each scale, before the mean over scales is taken: learn from
descriptors of a single scale.

Mean and covariance are summed up in float64 while the files are read: exact,
and memory for `[D, D]` numbers is enough, however many descriptors there are.

Source: Noh et al., "Large-Scale Image Retrieval with Attentive Deep Local
Features", ICCV 2017; the files are those of the official package.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from absl import logging
from google.protobuf import text_format

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_directory
from delg_tf.common.progress import track
from delg_tf.extraction.post_processing import unit_rows
from delg_tf.features import feature_io
from delg_tf.features.datum_io import write_datum
from delg_tf.protos import delf_config_pb2

KINDS = ("local", "global")
MAX_DESCRIPTORS = 1_000_000

MEAN_FILE = "mean.datum"
MATRIX_FILE = "pca_proj_mat.datum"
VARIANCES_FILE = "pca_variances.datum"

_SUFFIXES = {
    "local": (feature_io.LOCAL_SUFFIX, feature_io.DELF_SUFFIX),
    "global": (feature_io.GLOBAL_SUFFIX,),
}
# Descriptors summed up at a time: one matrix product for many small files.
_BATCH = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class LearnedPca:
    """The first K principal components of descriptors.

    Attributes:
        mean: float64 `[D]`.
        components: float64 `[K, D]`, orthonormal rows by falling variance;
            the number of largest magnitude in each is positive.
        variances: float64 `[K]`, of the descriptors along each component
            (unbiased); 0 where there is nothing but rounding.
        total_variance: of all D dimensions.
        num_descriptors: how many it was learned from.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    total_variance: float
    num_descriptors: int

    @property
    def explained(self) -> float:
        """Share of the variance that the components keep, from 0 to 1."""
        return float(self.variances.sum() / self.total_variance)


def find_feature_files(features_dir: PathLike, kind: str) -> list[pathlib.Path]:
    """Returns the feature files of a folder and its subfolders, sorted.

    Args:
        features_dir: the folder.
        kind: "local" (`.delg_local`, `.delf`) or "global" (`.delg_global`).

    Raises:
        InputError: there is no such folder, or no such file in it.
    """
    directory = existing_directory(features_dir, "features folder")
    suffixes = _SUFFIXES[kind]
    paths = sorted(
        path
        for path in directory.rglob("*")
        if path.suffix in suffixes and path.is_file()
    )
    if not paths:
        raise InputError(
            f"{directory} has no {' or '.join(f'*{s}' for s in suffixes)} "
            "file. tools/extract_features.py makes them."
        )
    return paths


def learn_pca(
    paths: Sequence[PathLike],
    kind: str,
    dim: int,
    max_descriptors: int = MAX_DESCRIPTORS,
    seed: int = 0,
) -> LearnedPca:
    """Learns the principal components of L2-normalised descriptors.

    Args:
        paths: feature files; some may hold no features.
        kind: what they hold, "local" or "global".
        dim: number of components, K.
        max_descriptors: where there are more, so many are drawn, each as
            likely as any other.
        seed: of the drawing.

    Raises:
        InputError: a number is out of range, there are fewer descriptors
            than `dim`, they differ in their depth or are all equal, or a
            file is missing or damaged.
    """
    _check(kind, dim, max_descriptors, seed)
    rng = np.random.default_rng(seed)
    shares = _shares(_counts(paths, kind), max_descriptors, rng)
    _require_enough(sum(shares), dim)
    drawn = _draw(paths, shares, kind, dim, rng)
    moments = _Moments()
    for rows in _batches(drawn, _BATCH):
        moments.add(rows)
    # Files of global descriptors may turn out to be empty.
    _require_enough(moments.count, dim)
    pca = _components(moments, dim)
    logging.info(
        "PCA of %d %s descriptors of %d numbers: %d components keep %.2f %% "
        "of the variance.",
        pca.num_descriptors, kind, len(pca.mean), dim, 100 * pca.explained,
    )  # fmt: skip
    if not pca.variances.all():
        logging.warning(
            "%d components have no variance; whitening needs a smaller "
            "pca_dim.",
            np.count_nonzero(pca.variances == 0),
        )
    return pca


def write_pca(directory: PathLike, pca: LearnedPca) -> None:
    """Writes mean `[D]`, matrix `[K, D]` and variances `[K]` as float32.

    Args:
        directory: folder of the three datum files; what is there is replaced.
        pca: what to write.
    """
    directory = pathlib.Path(directory)
    write_datum(directory / MEAN_FILE, pca.mean)
    write_datum(directory / MATRIX_FILE, pca.components)
    write_datum(directory / VARIANCES_FILE, pca.variances)


def config_lines(directory: PathLike, kind: str, dim: int) -> str:
    """Returns the lines of an extraction configuration that use a PCA.

    Args:
        directory: folder with the files of `write_pca`.
        kind: "local" or "global".
        dim: components to be kept.
    """
    directory = pathlib.Path(directory)
    config = delf_config_pb2.DelfConfig()
    part = {
        "local": config.delf_local_config,
        "global": config.delf_global_config,
    }[kind]
    part.use_pca = True
    part.pca_parameters.mean_path = str(directory / MEAN_FILE)
    part.pca_parameters.projection_matrix_path = str(directory / MATRIX_FILE)
    part.pca_parameters.pca_dim = dim
    part.pca_parameters.use_whitening = False
    part.pca_parameters.pca_variances_path = str(directory / VARIANCES_FILE)
    return text_format.MessageToString(config, as_utf8=True)


class _Moments:
    """Mean and scatter of rows that come in batches, in float64.

    Batches are merged by the formula of Chan et al. (1979), which does not
    lose digits where the mean is large beside the deviations.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(0)
        self.scatter = np.zeros((0, 0))

    def add(self, rows: np.ndarray) -> None:
        """Takes `[N, D]` more rows, N at least 1."""
        mean = rows.mean(axis=0)
        centred = rows - mean
        scatter = centred.T @ centred
        if not self.count:
            self.count, self.mean, self.scatter = len(rows), mean, scatter
            return
        total = self.count + len(rows)
        shift = mean - self.mean
        self.scatter += scatter
        self.scatter += np.outer(
            shift, shift * (self.count * len(rows) / total)
        )
        self.mean += shift * (len(rows) / total)
        self.count = total


def _check(kind: str, dim: int, max_descriptors: int, seed: int) -> None:
    if kind not in KINDS:
        raise InputError(
            f"kind must be one of {', '.join(KINDS)}, but is {kind!r}."
        )
    for name, value, low in (
        ("dim", dim, 1),
        ("max_descriptors", max_descriptors, max(dim, 2)),
        ("seed", seed, 0),
    ):
        if value < low:
            raise InputError(f"{name} must be at least {low}, but is {value}.")


def _require_enough(count: int, dim: int) -> None:
    needed = max(dim, 2)
    if count < needed:
        raise InputError(
            f"There are {count} descriptors, but a PCA to dim = {dim} needs "
            f"at least {needed}. Extract more images."
        )


def _counts(paths: Sequence[PathLike], kind: str) -> list[int]:
    """Returns how many descriptors each file has."""
    if kind == "global":
        return [1] * len(paths)
    return [
        feature_io.count_local_features(path)
        for path in track(paths, "Counting features", "file")
    ]


def _shares(
    counts: Sequence[int], limit: int, rng: np.random.Generator
) -> list[int]:
    """Returns how many descriptors are drawn of each file.

    A file's share is its part of all descriptors times the limit, rounded up
    or down: the descriptors are laid end to end, and every (total / limit)-th
    place from a random start is taken.
    """
    total = sum(counts)
    if total <= limit:
        return list(counts)
    start = int(rng.integers(total))
    taken = [
        (end * limit + start) // total
        for end in itertools.accumulate(counts, initial=0)
    ]
    return [after - before for before, after in itertools.pairwise(taken)]


def _draw(
    paths: Sequence[PathLike],
    shares: Sequence[int],
    kind: str,
    dim: int,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yields the drawn descriptors of each file: float64 `[n, D]`, n > 0."""
    wanted = [(path, share) for path, share in zip(paths, shares) if share]
    first = None
    for path, share in track(wanted, "PCA", "file"):
        descriptors = _read(path, kind)
        if not descriptors.size:
            continue
        depth = descriptors.shape[1]
        if first is None:
            first = (path, depth)
            if dim > depth:
                raise InputError(
                    f"dim is {dim}, but the descriptors of {path} have only "
                    f"{depth} numbers."
                )
        if depth != first[1]:
            raise InputError(
                f"{path} has descriptors of {depth} numbers, {first[0]} of "
                f"{first[1]}. Extract all with the same model and "
                "configuration."
            )
        if share < len(descriptors):
            rows = rng.choice(len(descriptors), share, replace=False)
            descriptors = descriptors[rows]
        yield unit_rows(descriptors.astype(np.float64))


def _read(path: PathLike, kind: str) -> np.ndarray:
    """Returns the descriptors of a file: float32 `[N, D]`."""
    if kind == "local":
        return feature_io.read_local_features(path).descriptors
    return feature_io.read_global_descriptor(path)[np.newaxis]


def _batches(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Joins `[n, D]` arrays until there are `size` rows or more."""
    waiting, count = [], 0
    for part in parts:
        waiting.append(part)
        count += len(part)
        if count >= size:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _components(moments: _Moments, dim: int) -> LearnedPca:
    covariance = moments.scatter / (moments.count - 1)
    total = float(np.trace(covariance))
    # Of unit vectors: less than float32 can tell apart.
    if total < np.finfo(np.float32).eps ** 2:
        raise InputError(
            f"All {moments.count} descriptors are the same; there is nothing "
            "to learn."
        )
    variances, vectors = np.linalg.eigh(covariance)
    variances = variances[::-1][:dim]
    components = vectors.T[::-1][:dim]
    rounding = variances[0] * len(covariance) * np.finfo(np.float64).eps
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(dim), largest])
    return LearnedPca(
        mean=moments.mean,
        components=components * signs[:, np.newaxis],
        variances=np.where(variances > rounding, variances, 0.0),
        total_variance=total,
        num_descriptors=moments.count,
    )
