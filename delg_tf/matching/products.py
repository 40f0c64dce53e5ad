"""Inner products of the descriptors of two images.

OpenVINO's product in float32 takes half of NumPy's time where NumPy's library
does not use all instructions of the CPU (OpenBLAS on AMD's Zen 4 and 5).
"""

import functools
import os
import threading

import numpy as np

# Smaller products are not worth the way to OpenVINO and back.
_LEAST_PAIRS = 1 << 16

_requests = threading.local()


def inner_products(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns [N, M] float32, valid and writeable until the thread's next.

    Args:
        points: [N, D] float32.
        others: [M, D] float32.
    """
    if len(points) * len(others) < _LEAST_PAIRS:
        return points @ others.T
    request = _request(points.shape[1])
    tensors = [_tensor(points), _tensor(others)]
    for place, tensor in enumerate(tensors):
        request.set_input_tensor(place, tensor)
    request.infer()
    return request.get_output_tensor(0).data


def _tensor(array: np.ndarray) -> object:
    import openvino as ov

    # Without a copy; of this form arrays may be read-only.
    return ov.Tensor(
        np.ascontiguousarray(array), list(array.shape), ov.Type.f32
    )


def _request(depth: int) -> object:
    """Returns this thread's own request."""
    held = _requests.__dict__.setdefault("by_depth", {})
    if depth not in held:
        held[depth] = _compiled(depth).create_infer_request()
    return held[depth]


@functools.lru_cache(maxsize=8)
def _compiled(depth: int) -> object:
    import openvino as ov
    from openvino import opset13 as ops

    points, others = (ops.parameter([-1, depth], ov.Type.f32) for _ in "ab")
    product = ops.matmul(points, others, False, True)
    threads = os.cpu_count() or 1
    return ov.Core().compile_model(
        ov.Model([product], [points, others]),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            # Pairs of images fill the processors; each has one.
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
        },
    )
