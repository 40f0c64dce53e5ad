"""What is done to raw descriptors: L2 normalisation and PCA."""

import dataclasses

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.features.datum_io import read_datum
from delg_tf.protos import delf_config_pb2


@dataclasses.dataclass(frozen=True, eq=False)
class Pca:
    """Projection onto principal components.

    Attributes:
        mean: float32 `[D]`.
        matrix: float32 `[K, D]`, one component a row.
        deviations: float32 `[K]` that the components are divided by, or None.
    """

    mean: np.ndarray
    matrix: np.ndarray
    deviations: np.ndarray | None = None

    def __call__(self, descriptors: np.ndarray) -> np.ndarray:
        """Projects `[N, D]` to `[N, K]`."""
        projected = (descriptors - self.mean) @ self.matrix.T
        if self.deviations is not None:
            projected = projected / self.deviations
        return projected


def load_pca(parameters: delf_config_pb2.DelfPcaParameters) -> Pca:
    """Reads the datum files of a PCA.

    Raises:
        InputError: a path or a file is missing, or shapes do not fit.
    """
    for name in ("mean_path", "projection_matrix_path", "pca_dim"):
        if not parameters.HasField(name):
            raise InputError(
                f"`pca_parameters` needs `{name}`; without a PCA set "
                "`use_pca: false`."
            )
    dim = parameters.pca_dim
    mean = read_datum(parameters.mean_path).ravel()
    matrix = read_datum(parameters.projection_matrix_path)
    if matrix.ndim != 2 or matrix.shape[1] != len(mean):
        raise InputError(
            f"The PCA matrix {parameters.projection_matrix_path} has the "
            f"shape {matrix.shape}; its rows must have {len(mean)} numbers, "
            "as the mean has."
        )
    if not 0 < dim <= len(matrix):
        raise InputError(
            f"`pca_dim` must be from 1 to {len(matrix)}. Received: {dim}"
        )
    deviations = None
    if parameters.use_whitening:
        if not parameters.HasField("pca_variances_path"):
            raise InputError("PCA whitening needs `pca_variances_path`.")
        variances = read_datum(parameters.pca_variances_path).ravel()
        if len(variances) < dim or (variances[:dim] <= 0).any():
            raise InputError(
                f"{parameters.pca_variances_path} must have {dim} positive "
                "variances."
            )
        deviations = np.sqrt(variances[:dim])
    return Pca(mean, matrix[:dim], deviations)


def unit_rows(descriptors: np.ndarray) -> np.ndarray:
    """L2-normalises rows; rows of zeros stay."""
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return descriptors / np.maximum(norms, 1e-12)


def post_process(descriptors: np.ndarray, pca: Pca | None) -> np.ndarray:
    """L2-normalises; with PCA, projects and normalises again.

    Args:
        descriptors: float32 `[N, D]`, raw.
        pca: or None.

    Returns:
        float32 `[N, D]` or `[N, K]`.
    """
    descriptors = unit_rows(descriptors)
    if pca is not None:
        descriptors = unit_rows(pca(descriptors))
    return descriptors.astype(np.float32)


def aggregate_scales(descriptors: np.ndarray, pca: Pca | None) -> np.ndarray:
    """One global descriptor from those of several scales.

    Args:
        descriptors: float32 `[S, D]`, raw.
        pca: or None.

    Returns:
        float32 `[D]`: normalised for each scale, averaged, normalised.

    Reference: DELG paper, section 4.1.
    """
    mean = post_process(descriptors, pca).mean(axis=0, keepdims=True)
    return unit_rows(mean)[0].astype(np.float32)
