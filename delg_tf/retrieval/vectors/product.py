"""Matrix products of queries with stored rows, by OpenVINO.

OpenVINO multiplies bfloat16 with sums in float32 where the CPU can, reads rows
from wherever they lie without a copy, and starts in a fraction of the time of
TensorFlow, whose bfloat16 product also rounds its results to bfloat16.
"""

import functools
import pathlib
from collections.abc import Iterator

import ml_dtypes
import numpy as np
from absl import logging

# Types of stored rows, by the type of the array that holds them (NumPy has no
# bfloat16), to: OpenVINO's name, precision of the product, and rows at a time.
# What is converted on the fly stays in the processor's cache.
_STORED = {
    "uint16": ("bf16", "bf16", 16384),
    "float16": ("f16", "f32", 512),
    "int8": ("i8", "f32", 512),
}
_UNIT = 2.0**-24


def rounding_bound(dimension: int) -> float:
    """Bounds the relative error of a float32 inner product.

    Returns:
        g, so that the error is at most g |a| |b|, in whatever order it is
        summed (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
        Twice the additions are counted, as bfloat16 instructions round
        products and sums of pairs by themselves.
    """
    return 2 * dimension * _UNIT / (1 - 2 * dimension * _UNIT)


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products (Linux)."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return False
    for line in text.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):
            found = {"avx512_bf16", "amx_bf16", "bf16"} & set(flags.split())
            return bool(found)
    return False


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounds to the nearest bfloat16; returns its bits as uint16."""
    return values.astype(ml_dtypes.bfloat16).view(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Returns the float32 values of bits of bfloat16."""
    return bits.view(ml_dtypes.bfloat16).astype(np.float32)


class Product:
    """Inner products of queries with rows of one stored type.

    Callers get it from `product_for`. Safe to use by several threads.
    """

    def __init__(self, dtype: str, dimension: int):
        import openvino as ov
        from openvino import opset13 as ops

        name, precision, self._step = _STORED[dtype]
        self._type = getattr(ov.Type, name)
        queries = ops.parameter([-1, dimension], ov.Type.f32)
        rows = ops.parameter([-1, dimension], self._type)
        scores = ops.matmul(queries, ops.convert(rows, "f32"), False, True)
        self._tensor = ov.Tensor
        self._compiled = ov.Core().compile_model(
            ov.Model([scores], [queries, rows]),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )

    def scores(
        self, queries: np.ndarray, array: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the products, some rows at a time.

        Args:
            queries: float32 [Q, D]; values of bfloat16 if rows are.
            array: [N, D] of the stored type, C-contiguous.

        Yields:
            The first row, and float32 [Q, M], valid until the next.
        """
        request = self._compiled.create_infer_request()
        queries = np.ascontiguousarray(queries)
        request.set_input_tensor(0, self._tensor(queries))
        for start in range(0, len(array), self._step):
            part = array[start : start + self._step]
            request.set_input_tensor(
                1, self._tensor(part, list(part.shape), self._type)
            )
            request.infer()
            yield start, request.get_output_tensor(0).data


@functools.lru_cache(maxsize=16)
def product_for(dtype: str, dimension: int) -> Product | None:
    """Returns the product for rows of a type, if it can be relied on.

    Bounds on the error are for sums in float32. Should a version of OpenVINO
    on some CPU round otherwise, this finds it, and returns None.
    """
    product = Product(dtype, dimension)
    generator = np.random.default_rng(0)
    queries = generator.standard_normal((4, dimension), np.float32)
    # Near the queries, so that rounding of the result would show.
    rows = generator.standard_normal((64, dimension), np.float32) / 2
    rows += np.tile(queries, (16, 1))
    if dtype == "uint16":
        queries = from_bfloat16(to_bfloat16(queries))
        stored = to_bfloat16(rows)
        rows = from_bfloat16(stored)
    else:
        stored = (rows * 20).astype(dtype)
        rows = stored.astype(np.float32)
    expected = queries.astype(np.float64) @ rows.astype(np.float64).T
    (_, found), *_ = product.scores(queries, stored)
    norms = np.outer(
        np.linalg.norm(queries, axis=1), np.linalg.norm(rows, axis=1)
    )
    worst = np.max(np.abs(found - expected) / norms)
    # Errors of sums in float32 grow with the root of their length.
    usual = 16 * _UNIT * dimension**0.5
    if not worst <= min(usual, rounding_bound(dimension)):
        logging.warning(
            "OpenVINO's product of %s rows is less accurate than float32 "
            "sums (%.1e); search goes on without it.",
            dtype,
            worst,
        )
        return None
    return product
