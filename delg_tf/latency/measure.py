"""Timing of extraction on this machine.

Source: DELG paper, table 6.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from absl import logging

from delg_tf.common.errors import InputError
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.images import LoadedImage
from delg_tf.latency.cases import CASES, SEPARATE, Case
from delg_tf.latency.flops import pyramid_flops
from delg_tf.latency.networks import export_network, random_network
from delg_tf.latency.ways import add_copies
from delg_tf.models.delg import Delg


@dataclasses.dataclass(frozen=True)
class LatencyRow:
    """One measured way to extract.

    Attributes:
        backbone: of the network.
        runtime: that ran it.
        precision: of it.
        case: title of the case.
        milliseconds: of an image, median.
        spread: least and largest of them.
        gflop: operations of the convolutions, in 1e9.
        bytes_per_image: of the features in float32.
    """

    backbone: str
    runtime: str
    precision: str
    case: str
    milliseconds: float
    spread: tuple[float, float]
    gflop: float
    bytes_per_image: int


@dataclasses.dataclass(frozen=True)
class LatencyOptions:
    """What is measured.

    Attributes:
        backbones: keys of `models.resnet.ARCHITECTURES`.
        runtimes: pairs of a runtime and a precision.
        image_size: side of the square images, pixels.
        batch_size: images that go through the network together.
        repeats: timings of each way.
    """

    backbones: tuple[str, ...] = ("resnet50", "resnet101")
    runtimes: tuple[tuple[str, str], ...] = (
        ("tensorflow", "float32"),
        ("auto", "auto"),
    )
    image_size: int = 1024
    batch_size: int = 1
    repeats: int = 5

    def __post_init__(self) -> None:
        """Checks ranges.

        Raises:
            InputError: a field is out of range.
        """
        for name, least in (
            ("image_size", 64),
            ("batch_size", 1),
            ("repeats", 1),
        ):
            if getattr(self, name) < least:
                raise InputError(
                    f"--{name} must be at least {least}. Received: "
                    f"{getattr(self, name)}"
                )


def measure(options: LatencyOptions, folder: pathlib.Path) -> list[LatencyRow]:
    """Measures every backbone, runtime and case.

    Weights are random: they do not change the time. All of a case's ways take
    turns, so that a slow moment of the machine hits them alike.

    Args:
        options: what is measured.
        folder: for the models; may be removed afterwards.
    """
    rows = []
    for backbone in options.backbones:
        model = random_network(backbone)
        exports = export_network(model, folder / backbone)
        # The last case of a kind has all scales.
        for case in {case.kind: case for case in CASES}.values():
            config = case.config(str(exports[case.kind]), options.image_size)
            add_copies(config, options.runtimes, folder / "photographs")
        for case in CASES:
            path = str(exports[case.kind])
            rows += _measure_case(model, case, path, options)
    return rows + _separate(rows)


def _measure_case(
    model: Delg, case: Case, path: str, options: LatencyOptions
) -> list[LatencyRow]:
    """Rows of a case; its models are loaded, and gone afterwards.

    Those of all cases together would take tens of gigabytes.
    """
    config = case.config(path, options.image_size)
    ways = [Extractor(config, *way) for way in options.runtimes]
    return [
        _row(model, way.runtime, case, seconds, options)
        for way, seconds in zip(ways, _timings(ways, options))
    ]


def _timings(
    ways: Sequence[Extractor], options: LatencyOptions
) -> list[list[float]]:
    """Seconds an image of each way, one a repeat."""
    size = (options.image_size, options.image_size, 3)
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    seconds: list[list[float]] = [[] for _ in ways]
    for repeat in range(options.repeats + 1):
        for values, way in zip(seconds, ways):
            image = way.prepare(LoadedImage(noise))
            start = time.perf_counter()
            way.extract_batch([image] * options.batch_size)
            values.append((time.perf_counter() - start) / options.batch_size)
        logging.info("Round %d of %d.", repeat, options.repeats)
    # The first round compiles, and warms up.
    return [values[1:] for values in seconds]


def _row(
    model: Delg,
    runtime: tuple[str, str],
    case: Case,
    seconds: Sequence[float],
    options: LatencyOptions,
) -> LatencyRow:
    size = (options.image_size, options.image_size)
    flops = pyramid_flops(model, size, case.scales, case.global_scales)
    config = model.config
    return LatencyRow(
        config.backbone,
        *runtime,
        case.title,
        1000 * float(np.median(seconds)),
        (1000 * min(seconds), 1000 * max(seconds)),
        flops / 1e9,
        case.bytes(config.embedding_dim, config.autoencoder_dim),
    )


def _separate(rows: Sequence[LatencyRow]) -> list[LatencyRow]:
    """Two models one after the other, as sums of measured rows."""
    by_key = {(r.backbone, r.runtime, r.precision, r.case): r for r in rows}
    sums = []
    for backbone, runtime, precision in dict.fromkeys(k[:3] for k in by_key):
        for title, cases in SEPARATE.items():
            parts = [
                by_key[backbone, runtime, precision, case.title]
                for case in cases
            ]
            sums.append(
                LatencyRow(
                    backbone,
                    runtime,
                    precision,
                    title,
                    sum(part.milliseconds for part in parts),
                    (
                        sum(part.spread[0] for part in parts),
                        sum(part.spread[1] for part in parts),
                    ),
                    sum(part.gflop for part in parts),
                    sum(part.bytes_per_image for part in parts),
                )
            )
    return sums
