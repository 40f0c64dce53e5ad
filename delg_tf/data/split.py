"""Training and validation split, class by class."""

import numpy as np


def _generator(seed: int) -> np.random.RandomState:
    # The official builder's generator: the legacy interface on an MT19937
    # whose state comes from a SeedSequence. Another one gives other splits.
    return np.random.RandomState(
        np.random.MT19937(np.random.SeedSequence(seed))
    )


def shuffled_order(count: int, seed: int) -> np.ndarray:
    """Returns the numbers 0..count-1 in random order.

    Args:
        count: how many.
        seed: not negative; the order is a function of it.

    Returns:
        int64 [count].
    """
    order = np.arange(count, dtype=np.int64)
    _generator(seed).shuffle(order)
    return order


def train_validation_split(
    labels: np.ndarray,
    validation_fraction: float,
    seed: int,
    singletons_to_validation: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Splits every class in the same proportion, then shuffles both splits.

    The algorithm and its random numbers are those of the official
    `build_image_dataset.py`: a class of n images gives
    max(1, int(fraction * n)) of them to validation. There a class with one
    image has nothing left to train on; here it stays in training.

    Args:
        labels: int64 [N], class of each image.
        validation_fraction: part of each class for validation, in (0, 1).
        seed: not negative.
        singletons_to_validation: the official treatment of classes with one
            image, to reproduce official splits.

    Returns:
        Positions in `labels`: training int64 [N - V], validation int64 [V].

    Raises:
        ValueError: the fraction is not in (0, 1).
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            "`validation_fraction` must be in (0, 1). Received: "
            f"{validation_fraction}."
        )
    labels = np.asarray(labels)
    if labels.size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    random = _generator(seed)
    training, validation = [], []
    for members in _members_by_class(labels):
        random.shuffle(members)
        count = max(1, int(validation_fraction * len(members)))
        if len(members) == 1 and not singletons_to_validation:
            count = 0
        validation.append(members[:count])
        training.append(members[count:])
    validation, training = np.concatenate(validation), np.concatenate(training)
    random.shuffle(validation)
    random.shuffle(training)
    return training, validation


def _members_by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Positions of each class, classes in order of first appearance."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    groups = np.split(order, starts)
    return sorted(groups, key=lambda members: members[0])
