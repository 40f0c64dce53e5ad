"""What is exported of a network, and how."""

import dataclasses
import math

from delg_tf.common.errors import InputError
from delg_tf.export.metadata import KEYPOINTS, KINDS

# Section 4.1 of the paper: seven scales for local features, three of them for
# global ones.
PAPER_SCALES = (0.25, 0.35355338, 0.5, 0.70710677, 1.0, 1.4142135, 2.0)
PAPER_GLOBAL_SCALES = (3, 4, 5)


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and how.

    Attributes:
        kind: one of `KINDS`.
        local_stride: 16 or 32; None: as the network was trained.
        iou_threshold: see `select_features`.
        keypoints: one of `KEYPOINTS`.
        pooled_scales: with kind "global": makes the model that takes nothing
            but an image; empty: scales are an input.
        pooling: "average" or "sum", of those scales.
        normalise: whether that result is L2-normalised.
        scales: of the pyramid of `serve_batch`; None: `pooled_scales`, or the
            paper's.
        global_scales: indices of the scales that its global descriptor is
            pooled over; None: all of `pooled_scales`, or the paper's.
        max_features: its local features of an image, at most.
        score_threshold: least attention score of one; None: the median in
            training.
    """

    kind: str = "local_and_global"
    local_stride: int | None = None
    iou_threshold: float = 1.0
    keypoints: str = "exact"
    pooled_scales: tuple[float, ...] = ()
    pooling: str = "average"
    normalise: bool = True
    scales: tuple[float, ...] | None = None
    global_scales: tuple[int, ...] | None = None
    max_features: int = 1000
    score_threshold: float | None = None

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            InputError: a field is out of range.
        """
        if self.kind not in KINDS:
            raise InputError(
                f"`kind` must be one of {KINDS}. Received: {self.kind!r}"
            )
        if self.keypoints not in KEYPOINTS:
            raise InputError(
                f"`keypoints` must be one of {KEYPOINTS}. Received: "
                f"{self.keypoints!r}"
            )
        if not 0 < self.iou_threshold <= 1:
            raise InputError(
                "`iou_threshold` must be in (0, 1]. Received: "
                f"{self.iou_threshold}"
            )
        if self.pooled_scales and self.kind != "global":
            raise InputError("Fixed scales need `kind` 'global'.")
        for scales in (self.pooled_scales, self.scales or ()):
            if not all(0 < scale < math.inf for scale in scales):
                raise InputError(
                    f"Scales must be positive numbers. Received: {scales}"
                )
        if self.pooled_scales and self.scales not in (None, self.pooled_scales):
            raise InputError(
                "A model with fixed scales has no others: leave "
                "--image_scales out."
            )
        if self.max_features < 1:
            raise InputError(
                "`max_features` must be positive. Received: "
                f"{self.max_features}"
            )
        self.pyramid()

    def pyramid(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Scales of `serve_batch`, and which of them are pooled.

        Raises:
            InputError: there is no such scale.
        """
        chosen = self.global_scales
        if self.pooled_scales:
            scales, usual = self.pooled_scales, range(len(self.pooled_scales))
        elif self.scales is None:
            scales, usual = PAPER_SCALES, PAPER_GLOBAL_SCALES
        else:
            scales, usual = self.scales, range(len(self.scales))
        pooled = tuple(usual) if chosen is None else chosen
        if (
            not scales
            or not pooled
            or not set(pooled) <= set(range(len(scales)))
        ):
            raise InputError(
                f"`global_scales` must be places, from 0, in {scales}. "
                f"Received: {pooled}"
            )
        if self.kind == "global":
            # No level that nothing is computed of.
            scales = tuple(scales[place] for place in pooled)
            pooled = tuple(range(len(scales)))
        return scales, pooled
