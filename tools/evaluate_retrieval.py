"""Evaluates retrieval as the public protocols do.

A whole run on a data set, from images to metrics.json and a report; a run that
was cut off goes on:

  tools/evaluate_retrieval.py --dataset=roxford5k --data_dir=DATA --download \
    --model=EXPORT --rerank --output_dir=OUT

Or features or search results that are there, by the Revisited protocols:

  tools/evaluate_retrieval.py --dataset_file_path=gnd_roxford5k.mat \
    --search_results=reranked.npz --output_dir=OUT
"""

import dataclasses
import pathlib
import time

from absl import flags

from delg_tf.common import cli
from delg_tf.common.errors import InputError
from delg_tf.evaluation import record_flags
from delg_tf.protocols import flags as protocol_flags
from delg_tf.retrieval import aggregated_flags
from delg_tf.retrieval import flags as retrieval_flags
from delg_tf.retrieval.ranking import flags as ranking_flags

FLAGS = flags.FLAGS

# Flags of evaluations of files that are there.
_OF_FILES = (
    "dataset_file_path", "search_results",
    "query_features_dir", "index_features_dir",
    "query_local_features_dir", "index_local_features_dir",
    "delf_config_path", "model_path", "queries_cropped", "images_dir",
)  # fmt: skip

flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth in the Revisited Oxford/Paris format (.mat or .pkl).",
)
flags.DEFINE_string(
    "search_results",
    None,
    "Whole rankings, made by tools/search_features.py or "
    "tools/search_aggregated.py. They are evaluated as they are, and before "
    "the re-ranking if there was one.",
)
flags.DEFINE_string(
    "query_features_dir",
    None,
    "Without --search_results: folder with the queries' feature files, or a "
    "store.",
)
flags.DEFINE_string(
    "index_features_dir",
    None,
    "Without --search_results: folder with the index images' feature files, or "
    "a store.",
)
flags.DEFINE_bool(
    "use_geometric_verification",
    False,
    "Of features (--dataset, or their folders): also re-rank geometrically, "
    "and evaluate again.",
)
flags.DEFINE_alias("rerank", "use_geometric_verification")
flags.DEFINE_bool(
    "drop_junk",
    False,
    "Re-rank each protocol on its own and keep its junk out of the short "
    "list, as the official script does. Use it to reproduce its numbers; it "
    "lets the ground truth touch the ranking.",
)
flags.DEFINE_list(
    "precision_ranks", ["1", "5", "10"], "The k of mP@k and mR@k."
)
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder for metrics.txt and metrics.json; with --dataset also for "
    "rankings, predictions.csv (gldv2) and report.html.",
)
flags.DEFINE_bool("overwrite", False, "Replace the files in --output_dir.")
flags.mark_flags_as_required(["output_dir"])
protocol_flags.define_data_set_flags()
retrieval_flags.define_local_feature_flags()
retrieval_flags.define_reranking_flags()
ranking_flags.define_ranking_flags()
aggregated_flags.define_aggregated_flags()
record_flags.define_record_flags()


def _cutoffs() -> tuple[int, ...]:
    """Returns the k of precision and recall; raises InputError."""
    ranks = FLAGS.precision_ranks
    if not ranks or not all(k.isdecimal() and int(k) > 0 for k in ranks):
        raise InputError(
            "--precision_ranks must be whole numbers above 0, separated by "
            f"commas, but is {','.join(ranks)!r}."
        )
    return tuple(dict.fromkeys(int(k) for k in ranks))


def _check_flags() -> None:
    """Raises InputError for flags that contradict each other."""
    protocol_flags.check_without_data_set()
    if not FLAGS.dataset_file_path:
        raise InputError(
            "Pass --dataset for a whole run, or --dataset_file_path."
        )
    features = (FLAGS.query_features_dir, FLAGS.index_features_dir)
    aggregated = aggregated_flags.are_given()
    if bool(FLAGS.search_results) + any(features) + aggregated != 1:
        raise InputError(
            "Pass --search_results, or --query_features_dir and "
            "--index_features_dir, or --query_aggregation_dir and "
            "--index_aggregation_dir."
        )
    if any(features) and not all(features):
        raise InputError(
            "Pass both --query_features_dir and --index_features_dir."
        )
    other = FLAGS.search_results or aggregated_flags.are_given()
    if other and not ranking_flags.ranking_config().is_plain:
        raise InputError(
            "--query_expansion, --database_augmentation, --diffusion and "
            "--k_reciprocal need feature folders; for results of "
            "tools/search_features.py pass them there."
        )
    if FLAGS.use_geometric_verification and not any(features):
        raise InputError(
            "--use_geometric_verification needs feature folders; other results "
            "are re-ranked by --rerank of tools/search_features.py and "
            "tools/search_aggregated.py."
        )
    if (
        retrieval_flags.local_feature_paths()
        and not FLAGS.use_geometric_verification
    ):
        raise InputError(
            "--query_local_features_dir needs --use_geometric_verification."
        )
    if FLAGS.drop_junk and not FLAGS.use_geometric_verification:
        raise InputError("--drop_junk needs --use_geometric_verification.")


def _evaluate_data_set(cutoffs: tuple[int, ...]) -> None:
    """A whole run, from images to the report."""
    given = [name for name in _OF_FILES if FLAGS[name].value]
    if given or aggregated_flags.are_given():
        raise InputError(
            f"--{given[0] if given else 'index_aggregation_dir'} does not go "
            "together with --dataset."
        )
    reranks = FLAGS.use_geometric_verification
    options = protocol_flags.retrieval_options(
        cutoffs,
        retrieval_flags.rerank_config() if reranks else None,
        ranking_flags.ranking_config(),
        FLAGS.drop_junk,
    )
    protocol_flags.download_if_asked()
    # TensorFlow loads only for inputs that are in order.
    from delg_tf.evaluation.table import metrics_table
    from delg_tf.protocols.retrieval import evaluate_data_set

    record = evaluate_data_set(options)
    print(f"\n{record.details['queries_cropped']}")
    print(metrics_table(record.metrics))
    print(pathlib.Path(FLAGS.output_dir) / "report.html")


def main() -> None:
    """Reads the flags, evaluates, prints the table and writes the files."""
    from delg_tf.common.files import refuse_existing
    from delg_tf.data.revisited import load_ground_truth
    from delg_tf.evaluation import metrics_file, pipeline, provenance, run_facts
    from delg_tf.evaluation.record import write_record
    from delg_tf.evaluation.revisited import evaluate_before_and_after
    from delg_tf.evaluation.table import metrics_table
    from delg_tf.retrieval.feature_store import FeatureStore
    from delg_tf.retrieval.results import SearchResults

    cutoffs = _cutoffs()
    if FLAGS.dataset:
        _evaluate_data_set(cutoffs)
        return
    _check_flags()
    started, start = provenance.now(), time.monotonic()
    facts = record_flags.facts_by_flags()
    output = pathlib.Path(FLAGS.output_dir)
    text, json = output / "metrics.txt", output / "metrics.json"
    for path in (text, json):
        refuse_existing(path, FLAGS.overwrite)
    ground_truth = load_ground_truth(FLAGS.dataset_file_path)
    details = {
        "dataset_file_path": FLAGS.dataset_file_path,
        "queries": len(ground_truth.query_names),
        "index_images": len(ground_truth.index_names),
        "average_precision": "trapezoidal, junk removed",
        "unit": "percent",
    }
    if FLAGS.search_results:
        results = SearchResults.load(FLAGS.search_results)
        metrics = evaluate_before_and_after(results, ground_truth, cutoffs)
        details["search_results"] = FLAGS.search_results
        details["ranked_by"] = results.ranked_by
        if results.inliers is not None:
            facts["verification"] = run_facts.unknown_verification()
    elif aggregated_flags.are_given():
        results = aggregated_flags.search_by_flags(ground_truth)
        metrics = evaluate_before_and_after(results, ground_truth, cutoffs)
        details["index_aggregation_dir"] = FLAGS.index_aggregation_dir
        details["ranked_by"] = results.ranked_by
    else:
        reranking = local = None
        ranking = ranking_flags.ranking_config()
        details["ranking"] = dataclasses.asdict(ranking)
        facts["index"] = {"search": "exact", **details["ranking"]}
        if FLAGS.use_geometric_verification:
            reranking = retrieval_flags.rerank_config()
            details["reranking"] = dataclasses.asdict(reranking)
            facts["verification"] = run_facts.verification_facts(reranking)
            details["drop_junk"] = FLAGS.drop_junk
            if paths := retrieval_flags.local_feature_paths():
                details["local_features"] = paths
                local = tuple(map(FeatureStore, paths))
        metrics = pipeline.evaluate_features(
            ground_truth,
            FeatureStore(FLAGS.query_features_dir),
            FeatureStore(FLAGS.index_features_dir),
            cutoffs,
            reranking,
            FLAGS.drop_junk,
            ranking,
            local,
        )
    metrics_file.write_metrics_text(text, metrics, FLAGS.overwrite)
    record = run_facts.revisited_record(
        metrics,
        ground_truth,
        details=details,
        dataset=run_facts.dataset_name(FLAGS.dataset_file_path),
        started=started,
        seconds={"evaluation": round(time.monotonic() - start, 3)},
        files=run_facts.files(
            ground_truth=FLAGS.dataset_file_path,
            images_dir=FLAGS.images_dir,
            search_results=FLAGS.search_results,
        ),
        **facts,
    )
    write_record(json, record, FLAGS.overwrite)
    print(metrics_table(metrics))
    print(f"{text}, {json}")


if __name__ == "__main__":
    cli.run(main)
