"""Predictions of recognition by what they are: right, wrong, missed."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

# Kinds of answers, in the order of histograms.
RIGHT, WRONG, DISTRACTOR, MISSED = (
    "right", "wrong landmark", "shows no landmark", "not answered",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was said of a test image.

    Attributes:
        name: of the image.
        kind: `RIGHT`, `WRONG`, `DISTRACTOR` (any landmark is wrong) or
            `MISSED` (it shows a landmark, and none was named).
        predicted: the landmark, or None.
        score: of it; NaN without.
        truth: the landmarks that the image shows.
        rank: place among all predictions by score, from 1; 0 without one.
    """

    name: str
    kind: str
    predicted: int | None
    score: float
    truth: tuple[int, ...]
    rank: int


def read_answers(
    predictions: Mapping[str, tuple[int, float]],
    solution: Mapping[str, Collection[int]],
) -> list[Answer]:
    """Returns predictions by falling score, then images without one.

    Equal scores are ordered by image and landmark, as in GAP. Images that
    show no landmark and have no prediction are right, and left out.

    Args:
        predictions: for each image its landmark and the score of that; those
            of images that the solution lacks are left out.
        solution: for each test image the landmarks that it shows.
    """
    known = [name for name in predictions if name in solution]
    known.sort(
        key=lambda name: (-predictions[name][1], name, predictions[name][0])
    )
    answers = []
    for rank, name in enumerate(known, start=1):
        landmark, score = predictions[name]
        truth = tuple(sorted(solution[name]))
        kind = RIGHT if landmark in truth else WRONG if truth else DISTRACTOR
        answers.append(Answer(name, kind, landmark, score, truth, rank))
    for name in sorted(set(solution).difference(known)):
        if solution[name]:
            truth = tuple(sorted(solution[name]))
            answers.append(Answer(name, MISSED, None, math.nan, truth, 0))
    return answers


def answer_lists(
    answers: Sequence[Answer], count: int
) -> dict[str, list[Answer]]:
    """Chooses what to look at, by heading; empty lists are left out.

    Args:
        answers: of `read_answers`.
        count: images in each list, at most.
    """
    of = {
        kind: [answer for answer in answers if answer.kind == kind]
        for kind in (RIGHT, WRONG, DISTRACTOR, MISSED)
    }
    wrong = sorted(of[WRONG] + of[DISTRACTOR], key=lambda answer: answer.rank)
    # Not answered at all, then what was named wrong with the least score.
    missed = of[MISSED] + of[WRONG][::-1]
    lists = {
        "Most confident wrong answers": wrong[:count],
        "Missed landmarks": missed[:count],
        "Right, but with the lowest scores": of[RIGHT][::-1][:count],
    }
    return {heading: chosen for heading, chosen in lists.items() if chosen}


def precision_over_recall(
    answers: Sequence[Answer], num_landmark_images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the curve of all predictions in one list, as GAP sees them.

    Args:
        answers: of `read_answers`.
        num_landmark_images: M of the metric.

    Returns:
        recall: float64 [P], after each prediction.
        precision: float64 [P].
    """
    correct = np.array(
        [answer.kind == RIGHT for answer in answers if answer.rank], bool
    )
    found = np.cumsum(correct)
    places = np.arange(1, len(correct) + 1)
    return found / max(num_landmark_images, 1), found / places
