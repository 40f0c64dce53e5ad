"""The report of a run of recognition."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from delg_tf.common.files import PathLike
from delg_tf.data.gldv2_solution import (
    read_recognition_predictions,
    read_recognition_solution,
)
from delg_tf.evaluation.published import (
    PublishedRow,
    published,
    published_rows,
)
from delg_tf.evaluation.record import read_record
from delg_tf.protocols.recognition_data import RecognitionDataSet
from delg_tf.protocols.recognition_run import RecognitionRun
from delg_tf.report.recognition_inputs import RecognitionReport
from delg_tf.report.recognition_report import write_recognition_report

# Labelled images of Google Landmarks v2, all and clean; and more queries than
# any small set in its layout has.
_GLDV2_LABELLED, _MANY_QUERIES = (4_132_914, 1_580_470), 100_000


def write_recognition_page(
    path: PathLike,
    data_set: RecognitionDataSet,
    run: RecognitionRun,
    record: PathLike,
    settings: dict[str, str],
) -> None:
    """Writes a page with queries and the images that voted.

    Args:
        path: the HTML file to write or replace.
        data_set: the images.
        run: what was done.
        record: the run's `metrics.json`.
        settings: names and values, at the end of the page.

    Raises:
        InputError: predictions, solution or record are damaged.
    """
    truth = read_recognition_solution(data_set.solution_file)
    given = read_recognition_predictions(run.predictions, truth)
    parts = truth.parts()
    evidence = _Evidence(data_set, run, {**truth.public, **truth.private})
    queries = {item.name: item.path for item in data_set.query_set().items}
    write_recognition_report(
        RecognitionReport(
            title=f"Recognition on {data_set.name}",
            predictions={**given.public, **given.private},
            solution=parts,
            part=max(parts, key=lambda part: len(parts[part])),
            num_index_images=len(run.recogniser.index.names),
            photographs=queries.get,
            index_photographs=evidence.paths.get,
            evidence=evidence,
            example=evidence.examples.get,
            record=read_record(record),
            published=published_rows(
                published("gldv2", "recognition"), "metric"
            )
            if _is_gldv2(data_set)
            else (),
            settings={"Run": settings},
        ),
        path,
    )


def _published() -> list[PublishedRow]:
    return published_rows(published("gldv2", "recognition"), "metric")


def _is_gldv2(data_set: RecognitionDataSet) -> bool:
    """Whether this is the data set of its name, not another in its place."""
    return (
        len(data_set.queries) > _MANY_QUERIES
        and len(data_set.index) in _GLDV2_LABELLED
    )


class _Evidence:
    """Finds the labelled images that a page shows, all at once.

    Attributes:
        paths: files of those images, by name.
        examples: a labelled image of each landmark that would have been right.
    """

    def __init__(
        self,
        data_set: RecognitionDataSet,
        run: RecognitionRun,
        truth: Mapping[str, Collection[int]],
    ):
        self._data_set, self._run, self._truth = data_set, run, truth
        self.paths: dict[str, PathLike] = {}
        self.examples: dict[int, str] = {}

    def __call__(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Returns labelled images that voted for each query's answer."""
        recogniser = self._run.recogniser
        known = set(self._run.query_names)
        asked = [name for name in names if name in known]
        voted = {}
        if asked:
            voters = recogniser.voters(asked, recogniser.ranker())
            voted = {
                name: [recogniser.index.names[i] for i in ranks.tolist()]
                for name, ranks in zip(asked, voters.ranks)
            }
        self._find_examples({one for n in names for one in self._truth[n]})
        shown = {image for images in voted.values() for image in images}
        shown.update(self.examples.values())
        if shown:
            items = self._data_set.index_set(sorted(shown)).items
            self.paths.update({item.name: item.path for item in items})
        return voted

    def _find_examples(self, landmarks: Collection[int]) -> None:
        labels = self._run.recogniser.labels
        place = {name: i for i, name in enumerate(labels.classes)}
        for landmark in landmarks:
            label = place.get(str(landmark))
            if label is not None:
                first = int(np.argmax(labels.labels == label))
                if labels.labels[first] == label:
                    name = self._run.recogniser.index.names[first]
                    self.examples[landmark] = name
