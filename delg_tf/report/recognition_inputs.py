"""What a report on recognition is made of."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from delg_tf.evaluation.published import PublishedRow
from delg_tf.evaluation.record import RunRecord
from delg_tf.report.photographs import Images


@dataclasses.dataclass(frozen=True, eq=False)
class RecognitionReport:
    """What a report on recognition is made of.

    Images that are missing are left out, and the page says so.

    Attributes:
        title: of the page.
        predictions: for each test image its landmark and the score of that.
            Images may be missing.
        solution: by part ("public", "private") for each test image the
            landmarks that it shows; empty for images without any.
        part: the one whose images are shown.
        num_index_images: how many labelled images were searched, or None.
        photographs: of the test images: a folder in which `<name>.jpg` or
            `a/b/c/<name>.jpg` lies, or a function from names to files; None:
            the page shows none.
        index_photographs: of the labelled images, likewise.
        evidence: returns for test images names of labelled images that voted
            for the predicted landmark, the strongest first; images may be
            missing. It is called once, with the images that are shown. None:
            the page shows none.
        example: returns the name of a labelled image of a landmark, to show
            what would have been right; or None.
        landmark_names: names of landmarks, as far as they are known.
        record: of the evaluation: its settings are shown, and its metrics by
            part; None: they are computed, without intervals.
        published: reference figures (`evaluation.published.published_rows` by
            metric), in a table of their own.
        settings: more tables of settings, by heading.
        notes: remarks on the top of the page.
        max_images: images in each list; each takes up to 30 kB.

    Raises:
        ValueError: there is no such part.
    """

    title: str
    predictions: Mapping[str, tuple[int, float]]
    solution: Mapping[str, Mapping[str, Collection[int]]]
    part: str
    num_index_images: int | None = None
    photographs: Images | None = None
    index_photographs: Images | None = None
    evidence: Callable[[Sequence[str]], Mapping[str, Sequence[str]]] | None = (
        None
    )
    example: Callable[[int], str | None] | None = None
    landmark_names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    record: RunRecord | None = None
    published: Sequence[PublishedRow] = ()
    settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict
    )
    notes: Sequence[str] = ()
    max_images: int = 24

    def __post_init__(self):
        if self.part not in self.solution:
            raise ValueError(
                f"`part` must be one of {tuple(self.solution)}. Received: "
                f"{self.part!r}"
            )
