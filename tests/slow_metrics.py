"""The metrics again, from their definitions, by loops over exact fractions.

Slow on purpose: nothing is shared with `delg_tf.evaluation.metrics`, and no
shortcut is taken that it takes.
"""

from fractions import Fraction


def trapezoid_ap(ranking, positives, junk):
    """Area under the curve, walking down the list image by image."""
    cleaned = [image for image in ranking if image not in junk]
    area, old_recall, old_precision = Fraction(0), Fraction(0), Fraction(1)
    for seen in range(1, len(cleaned) + 1):
        found = sum(image in positives for image in cleaned[:seen])
        recall = Fraction(found, len(positives))
        precision = Fraction(found, seen)
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return float(area)


def is_hit(ranking, positives, place):
    """Whether a place (from 0) has a right image for the first time."""
    return (
        place < len(ranking)
        and ranking[place] in positives
        and ranking[place] not in ranking[:place]
    )


def precision_at(ranking, positives, k):
    """Share of right ones among k places, whether the list has them or not."""
    return Fraction(sum(is_hit(ranking, positives, i) for i in range(k)), k)


def truncated_ap(ranking, positives, k, divisor):
    """Sum of precisions at hits, by what the divisor's name says."""
    hits = [i for i in range(k) if is_hit(ranking, positives, i)]
    total = sum((precision_at(ranking, positives, i + 1) for i in hits), 0)
    if divisor == "found":
        return float(Fraction(total) / len(hits)) if hits else 0.0
    size = len(positives) if divisor == "all" else min(len(positives), k)
    return float(Fraction(total) / size)


def first_place(ranking, positives, limit):
    """Place from 1 of the first right image, `limit` + 1 without one."""
    for place in range(limit):
        if is_hit(ranking, positives, place):
            return place + 1
    return limit + 1


def gap(predictions, solution, landmark_images_only):
    """Each right prediction's precision, by comparing it with all others."""
    expected = [image for image in solution if solution[image]]
    rows = [
        (-score, image, landmark)
        for image, (landmark, score) in predictions.items()
        if not landmark_images_only or image in expected
    ]
    total = Fraction(0)
    for row in rows:
        if row[2] in solution[row[1]]:
            above = [other for other in rows if other <= row]
            right = sum(other[2] in solution[other[1]] for other in above)
            total += Fraction(right, len(above))
    return float(total / len(expected))
