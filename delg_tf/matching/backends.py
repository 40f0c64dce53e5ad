"""The verifiers by name."""

from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.numba_verifier import NumbaVerifier
from delg_tf.matching.numpy_verifier import NumpyVerifier
from delg_tf.matching.opencv_verifier import OpenCvVerifier
from delg_tf.matching.skimage_verifier import SkimageVerifier
from delg_tf.matching.usac_verifier import UsacVerifier
from delg_tf.matching.verifier import Verifier

# The names are those of `config.BACKENDS`.
_VERIFIERS: dict[str, type[Verifier]] = {
    "numba": NumbaVerifier,
    "numpy": NumpyVerifier,
    "opencv": OpenCvVerifier,
    "usac": UsacVerifier,
    "skimage": SkimageVerifier,
}


def make_verifier(config: MatchingConfig) -> Verifier:
    """Returns the verifier that `config.backend` names."""
    return _VERIFIERS[config.backend](config)
