"""Google Landmarks v2, recognition: GAP (also called micro-AP) and top-1.

Each of the test images gets at most one predicted landmark, with a score. All
predictions of all images stand in one list, highest score first; with rel(i)
1 if the i-th names a landmark that its image shows, and P(i) the share of
right ones among the first i,

    GAP = 1 / M * sum over i of P(i) * rel(i),

where M is the number of test images that show any landmark. So scores must
be comparable between images, and a confident answer on an image without a
landmark costs all that come after it. Equal scores are ordered by image id,
then by landmark, as the official code does: with many ties that order is part
of the result.

It is given both ways: `gap` over all images, the official one, and
`gap_of_landmark_images`, where predictions of images without ground truth are
left out first (not comparable: nothing is punished for distractors then).

Top-1 accuracy is the share of the M images whose prediction is right, at
whatever score; no prediction is wrong.

Traps. `sklearn.metrics.average_precision_score` over the predictions divides
by the right predictions instead of M, so what was never predicted costs
nothing, and it takes ties together. A mean of per-image or per-class average
precision (torchmetrics, macro) is another measure.

Source: metrics.py of the official package (`research/delf`), written again
from its rules; Perronnin et al., "A family of contextual measures of
similarity", CVPR 2009; Weyand et al., CVPR 2020.
"""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from delg_tf.evaluation.metrics.uncertainty import (
    Interval,
    bootstrap_statistic,
)


@dataclasses.dataclass(frozen=True)
class LandmarkRecognitionMetrics:
    """Metrics of all test images, as fractions; NaN if none has a landmark.

    Attributes:
        gap: over the predictions of all images.
        gap_of_landmark_images: over those of images with ground truth.
        top1: share of the images with ground truth that are named right.
        num_images: test images in the solution.
        num_landmark_images: those with ground truth, M.
        num_predictions: images with a prediction.
        num_correct: right predictions.
    """

    gap: float
    gap_of_landmark_images: float
    top1: float
    num_images: int
    num_landmark_images: int
    num_predictions: int
    num_correct: int


def evaluate_landmark_recognition(
    predictions: Mapping[str, tuple[int, float]],
    solution: Mapping[str, Collection[int]],
) -> LandmarkRecognitionMetrics:
    """Evaluates one predicted landmark an image.

    Args:
        predictions: for each image its landmark and the score of that. Images
            may be missing.
        solution: for each test image the landmarks that it shows; empty for
            images without any.

    Raises:
        ValueError: a prediction is of an image that the solution lacks, or a
            score is not finite.
    """
    ranked = _ranked_images(predictions, solution)
    correct = np.array(
        [predictions[image][0] in solution[image] for image in ranked], bool
    )
    with_landmark = np.array([bool(solution[image]) for image in ranked], bool)
    total = sum(bool(landmarks) for landmarks in solution.values())
    return LandmarkRecognitionMetrics(
        gap=global_average_precision(correct, total),
        gap_of_landmark_images=global_average_precision(
            correct[with_landmark], total
        ),
        top1=float(correct.sum() / total) if total else float("nan"),
        num_images=len(solution),
        num_landmark_images=total,
        num_predictions=len(ranked),
        num_correct=int(correct.sum()),
    )


def global_average_precision(correct: np.ndarray, num_expected: int) -> float:
    """Returns GAP of a ranked list of predictions.

    Args:
        correct: bool [N], whether each prediction is right, highest score
            first.
        num_expected: images that show a landmark, M.

    Returns:
        A value from 0 to 1; NaN if `num_expected` is 0.
    """
    if not num_expected:
        return float("nan")
    correct = np.asarray(correct, np.bool_)
    precision = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    return float(precision[correct].sum() / num_expected)


def bootstrap_gap_interval(
    predictions: Mapping[str, tuple[int, float]],
    solution: Mapping[str, Collection[int]],
    level: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Returns the percentile bootstrap interval of `gap` over test images.

    GAP is no mean over images, so whole test sets are drawn, with
    replacement, and measured anew; see `metrics.uncertainty` for what such
    an interval says.

    Args:
        predictions: as for `evaluate_landmark_recognition`.
        solution: likewise.
        level: between 0 and 1.
        num_samples: test sets drawn.
        seed: of the draws; the result is a function of it.

    Raises:
        ValueError: as `evaluate_landmark_recognition`, or an argument is out
            of range.
    """
    ranked = _ranked_images(predictions, solution)
    # Images by rank, then those without a prediction.
    rest = [image for image in solution if image not in predictions]
    expected = np.array([bool(solution[image]) for image in [*ranked, *rest]])
    correct = np.array(
        [predictions[image][0] in solution[image] for image in ranked], bool
    )

    def gap_of_draw(drawn: np.ndarray) -> float:
        times = np.bincount(drawn, minlength=len(expected))
        repeated = np.repeat(correct, times[: len(correct)])
        return global_average_precision(repeated, int(times[expected].sum()))

    return bootstrap_statistic(
        lambda draws: np.array([gap_of_draw(drawn) for drawn in draws]),
        len(expected),
        level,
        num_samples,
        seed,
    )


def _ranked_images(
    predictions: Mapping[str, tuple[int, float]],
    solution: Mapping[str, Collection[int]],
) -> list[str]:
    """Returns the predicted images: by falling score, id, landmark."""
    for image, (_, score) in predictions.items():
        if image not in solution:
            raise ValueError(
                "`predictions` must be of images in the solution. Received: "
                f"{image!r}"
            )
        if not np.isfinite(score):
            raise ValueError(
                f"`predictions` must have finite scores. Received: {score} "
                f"for {image!r}"
            )
    return sorted(
        predictions, key=lambda image: (-predictions[image][1], image)
    )
