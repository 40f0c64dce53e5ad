"""Command-line flags of whole evaluations of retrieval."""

from typing import Any

from absl import flags

from delg_tf.common.errors import InputError
from delg_tf.features.compact.formats import GLOBAL_FORMATS, LOCAL_FORMATS
from delg_tf.protocols import extraction_flags

FLAGS = flags.FLAGS

_NEED_DATASET = (
    "data_dir", "model", "extraction", "features_dir", "download", "mirror",
    "local_format", "single_file_features", "skip_damaged", "all_queries",
    "allow_missing_images",
)  # fmt: skip


def define_data_set_flags() -> None:
    """Defines the flags that `retrieval_options` reads."""
    flags.DEFINE_string(
        "dataset",
        None,
        "Whole run on a data set, from images to a report: roxford5k, "
        "rparis6k, oxford5k, paris6k, gldv2, with +r1m behind the first two "
        "for the million distractors; or a folder with gnd_*.pkl (or .mat) "
        "and jpg/ (or images/), or with gt/*.txt and jpg/.",
    )
    flags.DEFINE_string(
        "data_dir",
        None,
        "Folder of the data sets, as tools/download_dataset.py fills it.",
    )
    flags.DEFINE_bool(
        "download", False, "First download what is missing of --dataset."
    )
    flags.DEFINE_string(
        "mirror", None, "With --download: address to take files from."
    )
    extraction_flags.define_extraction_flags()
    flags.DEFINE_bool(
        "crop_queries",
        True,
        "Crop queries to their boxes, as the protocols demand. The report and "
        "metrics.json say which.",
    )
    flags.DEFINE_string(
        "features_dir",
        None,
        "Folder of features that are kept for other runs, named by a hash of "
        "model, settings and images; by default `features` in --data_dir, or "
        "else in --output_dir.",
    )
    _define_format_flags()
    flags.DEFINE_bool(
        "skip_damaged",
        False,
        "Index images that cannot be read count as never found; by default "
        "they end the run.",
    )
    flags.DEFINE_bool(
        "all_queries",
        False,
        "Of gldv2: also search for the queries that the solution ignores, for "
        "predictions.csv; 99 of 100 are such.",
    )
    flags.DEFINE_bool(
        "allow_missing_images",
        False,
        "Of gldv2: leave out images that were not downloaded; the record says "
        "how many. The figures are then of another data set.",
    )
    flags.DEFINE_integer(
        "search_memory_mib",
        512,
        "Memory for descriptors while searching; results do not depend on it.",
        lower_bound=1,
    )


def _define_format_flags() -> None:
    flags.DEFINE_enum(
        "local_format",
        None,
        LOCAL_FORMATS,
        "Of local features that are kept; by default official files. A "
        "feature of 128 numbers takes 528, 266, 138 or 26 bytes, in official "
        "files 552.",
    )
    flags.DEFINE_enum(
        "global_format",
        "float32",
        GLOBAL_FORMATS,
        "Of global descriptors that are kept, with --local_format or "
        "--single_file_features.",
    )
    flags.DEFINE_bool(
        "single_file_features",
        False,
        "Keep the features of an image set in one file, not in one an image.",
    )


def check_without_data_set() -> None:
    """Raises InputError for flags that need `--dataset`."""
    given = [name for name in _NEED_DATASET if FLAGS[name].value]
    if given:
        raise InputError(f"--{given[0]} needs --dataset.")


def retrieval_options(
    cutoffs: tuple[int, ...], reranking: Any, ranking: Any, drop_junk: bool
) -> Any:
    """Returns the `RetrievalOptions` that the flags say.

    Args:
        cutoffs: the k of precision and recall.
        reranking: a `RerankConfig`, or None.
        ranking: a `RankingConfig`.
        drop_junk: see `RetrievalOptions`.

    Raises:
        InputError: model or configuration are missing or damaged, or flags
            contradict each other.
    """
    from delg_tf.protocols.options import RetrievalOptions

    if FLAGS.num_workers > 1 and FLAGS.single_file_features:
        raise InputError(
            "--single_file_features is written by one process: leave out "
            "--num_workers."
        )
    extraction = extraction_flags.extraction_settings(
        FLAGS.local_format, FLAGS.global_format, FLAGS.single_file_features
    )
    return RetrievalOptions(
        dataset=FLAGS.dataset,
        output_dir=FLAGS.output_dir,
        extraction=extraction,
        data_dir=FLAGS.data_dir,
        features_dir=FLAGS.features_dir,
        crop_queries=FLAGS.crop_queries,
        reranking=reranking,
        drop_junk=drop_junk,
        ranking=ranking,
        cutoffs=cutoffs,
        all_queries=FLAGS.all_queries,
        allow_missing=FLAGS.allow_missing_images,
        skip_damaged=FLAGS.skip_damaged,
        memory_mib=FLAGS.search_memory_mib,
        overwrite=FLAGS.overwrite,
    )


def download_if_asked() -> None:
    """Downloads the data set, if `--download` says so.

    Raises:
        InputError: it cannot be downloaded.
    """
    if not FLAGS.download:
        if FLAGS.mirror:
            raise InputError("--mirror needs --download.")
        return
    from delg_tf.download.run import download
    from delg_tf.protocols.catalogue import downloads_of

    if not FLAGS.data_dir:
        raise InputError("--download needs --data_dir.")
    names = downloads_of(FLAGS.dataset)
    done = download(names, FLAGS.data_dir, mirror=FLAGS.mirror)
    print(
        f"{', '.join(names)}: {len(done.placed)} files downloaded, "
        f"{done.present} were there.",
        flush=True,
    )
