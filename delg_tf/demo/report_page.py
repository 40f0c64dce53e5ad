"""The report of the demonstration."""

import pathlib
import time

from delg_tf.common.files import write_json
from delg_tf.data.revisited import PROTOCOLS, load_ground_truth
from delg_tf.evaluation.record import read_record
from delg_tf.matching.config import MatchingConfig
from delg_tf.report.retrieval_inputs import (
    RetrievalReport,
    TableRow,
    Training,
)
from delg_tf.report.retrieval_report import write_retrieval_report
from delg_tf.report.revisited_queries import revisited_queries
from delg_tf.retrieval.rerank import RerankConfig
from delg_tf.retrieval.results import SearchResults

# The default of search.
_NUM_TO_RERANK = RerankConfig().num_to_rerank


def write_demo_report(output: pathlib.Path, metrics: dict, seed: int) -> None:
    """Writes the report, and how long that took.

    Args:
        output: folder of the demonstration.
        metrics: what its stages measured.
        seed: of RANSAC.

    Raises:
        InputError: results of a stage are missing or damaged.
    """
    print("\n== Report", flush=True)
    start = time.monotonic()
    data = output / "data" / "held_out"
    images = data / "jpg"
    features = output / "features"
    found, reranked = (
        SearchResults.load(output / f"{name}.npz")
        for name in ("global", "reranked")
    )
    matching = MatchingConfig(seed=seed)
    write_retrieval_report(
        RetrievalReport(
            title="DELG on held-out landmarks",
            queries=revisited_queries(
                load_ground_truth(data / "gnd.pkl"),
                found,
                reranked,
                _NUM_TO_RERANK,
            ),
            protocols=PROTOCOLS,
            protocol="medium",
            num_index_images=len(found.index_names),
            images=(images, images),
            features=(features / "query", features / "index"),
            matching=matching,
            num_to_rerank=_NUM_TO_RERANK,
            record=read_record(
                output / "evaluation" / "reranked" / "metrics.json"
            ),
            measured=[
                TableRow("Untrained network", metrics["held_out"]["untrained"])
            ],
            settings={
                "Run": {
                    key: metrics[key]
                    for key in ("seed", "quick", "data", "environment")
                }
            },
            training=Training(
                output / "training",
                metrics["seconds"],
                metrics["images_per_second"],
            ),
        ),
        output / "report.html",
    )
    write_json(output / "report.json", {"seconds": time.monotonic() - start})
