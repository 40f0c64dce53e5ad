"""Test images of recognition with what was said of them."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from delg_tf.report import pictures
from delg_tf.report.answers import DISTRACTOR, RIGHT, Answer
from delg_tf.report.photographs import Photographs
from delg_tf.report.recognition_inputs import RecognitionReport

_SYMBOLS = {RIGHT: "✓"}
_STYLES = {RIGHT: "right", DISTRACTOR: "junk"}
# Labelled images shown of those that voted.
_VOTERS = 2


class AnswerCards:
    """Draws answers.

    Attributes:
        tests: photographs of the test images.
        index: photographs of the labelled images.
    """

    def __init__(
        self, report: RecognitionReport, lists: Mapping[str, Sequence[Answer]]
    ):
        """Asks for the evidence of all answers that are shown.

        Args:
            report: what the page is made of.
            lists: the answers, by heading.
        """
        self._report = report
        shown = [answer.name for chosen in lists.values() for answer in chosen]
        self._evidence: Mapping[str, Sequence[str]] = {}
        if report.evidence is not None:
            self._evidence = report.evidence(list(dict.fromkeys(shown)))
        self.tests = Photographs(report.photographs)
        self.index = Photographs(report.index_photographs)
        self._thumbnail = functools.lru_cache(maxsize=4096)(_thumbnail)

    def card(self, answer: Answer) -> dict[str, Any]:
        """Returns what the template shows of an answer."""
        report = self._report
        images = [("Test image", answer.name, self.tests)]
        voters = self._evidence.get(answer.name, ())
        for name in voters[:_VOTERS] if answer.rank else ():
            images.append(("Voted for the answer", name, self.index))
        if report.example is not None and answer.kind != RIGHT and answer.truth:
            name = report.example(answer.truth[0])
            if name is not None:
                images.append(("The right landmark", name, self.index))
        named = "nothing"
        if answer.predicted is not None:
            named = self._landmark(answer.predicted)
        return {
            "name": answer.name,
            "mark": _STYLES.get(answer.kind, "wrong"),
            "kind": f"{_SYMBOLS.get(answer.kind, '✗')} {answer.kind}",
            "said": named,
            "truth": ", ".join(map(self._landmark, answer.truth))
            or "no landmark",
            "score": f"{answer.score:.3f}, rank {answer.rank:,}"
            if answer.rank
            else "",
            "images": [
                {
                    "caption": caption,
                    "name": name,
                    "uri": self._thumbnail(photographs, name),
                    "alt": f"{caption} {name}",
                }
                for caption, name, photographs in images
            ],
        }

    def _landmark(self, landmark: int) -> str:
        name = self._report.landmark_names.get(landmark)
        return str(landmark) if name is None else f"{name} ({landmark})"


def _thumbnail(photographs: Photographs, name: str) -> str:
    pixels = photographs.read(name)
    if pixels is None:
        return ""
    return pictures.data_uri(pictures.shrink(pixels, pictures.THUMBNAIL_SIDE))
