"""How the kernels are compiled."""

from collections.abc import Callable
from typing import Any

import numba

# Sums may be added in any order, so that they become vector instructions; what
# is not finite keeps its meaning.
SUMS = frozenset({"reassoc", "contract", "nsz", "arcp"})


def kernel(
    fastmath: frozenset[str] = frozenset(),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns a decorator that compiles a function at its first call.

    Other threads run while it does. A division by zero gives infinity or NaN,
    as in NumPy. The machine code is kept beside the source, in the user's
    cache, or in `NUMBA_CACHE_DIR`; where none can be written, each process
    compiles anew, which takes some seconds.

    Args:
        fastmath: rules of arithmetic that may be broken, LLVM's names.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options = {
            "nogil": True,
            "error_model": "numpy",
            "fastmath": set(fastmath),
        }
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder for the machine code
            return numba.njit(**options)(function)

    return decorate
