"""Flags of what an evaluation of given features cannot find out itself."""

from typing import Any

from absl import flags

FLAGS = flags.FLAGS


def define_record_flags() -> None:
    """Defines the flags that `facts_by_flags` reads."""
    flags.DEFINE_string(
        "delf_config_path",
        None,
        "For the record in metrics.json: the configuration that the features "
        "were extracted with. It says which model, scales and thresholds.",
    )
    flags.DEFINE_string(
        "model_path", None, "Takes the place of that file's model_path."
    )
    flags.DEFINE_bool(
        "queries_cropped",
        None,
        "For the record: whether queries were cropped to their boxes before "
        "extraction (tools/extract_features.py does so with "
        "--dataset_file_path).",
    )
    flags.DEFINE_string(
        "images_dir",
        None,
        "For the record: folder of the .jpg files, from which "
        "tools/compare_runs.py shows queries.",
    )


def facts_by_flags() -> dict[str, Any]:
    """Returns fields of a record; those that no flag tells are missing.

    Raises:
        InputError: the configuration or its model is missing or damaged.
    """
    from delg_tf.evaluation.run_facts import extraction_facts
    from delg_tf.extraction.config import load_config

    facts: dict[str, Any] = {"queries_cropped": FLAGS.queries_cropped}
    if FLAGS.delf_config_path:
        config = load_config(FLAGS.delf_config_path, FLAGS.model_path)
        facts |= extraction_facts(config)
    return facts
