"""Extracts SIFT or ORB features by OpenCV, to compare DELG's with.

The images, the files and the ways to work are those of
tools/extract_features.py; there are no global descriptors.
"""

import functools

from absl import flags

from delg_tf.common import cli
from delg_tf.extraction import flags as extraction_flags
from delg_tf.extraction.detectors.config import DETECTORS, DetectorConfig
from delg_tf.features.compact.formats import LOCAL_FORMATS

FLAGS = flags.FLAGS

flags.DEFINE_enum("detector", None, DETECTORS, "Which features to extract.")
flags.DEFINE_integer(
    "max_features",
    DetectorConfig.max_features,
    "The strongest of an image that are kept.",
)
flags.DEFINE_integer(
    "max_image_size",
    DetectorConfig.max_image_size,
    "Longest side in pixels, to which larger images are resized; -1: no limit.",
)
flags.DEFINE_float(
    "threshold",
    None,
    "Least contrast of a feature: of sift relative to the range of brightness "
    "(OpenCV's default 0.04), of orb in grey levels (20). Small images need "
    "less to have --max_features.",
)
flags.DEFINE_bool(
    "root_sift",
    DetectorConfig.root_sift,
    "RootSIFT: square roots of SIFT's descriptors.",
)
flags.DEFINE_bool(
    "upright",
    DetectorConfig.upright,
    "SIFT without orientations, for photographs that are all upright.",
)
flags.DEFINE_enum(
    "local_format",
    None,
    LOCAL_FORMATS,
    "In a folder, packed files (.delg_packed) of this format take the place of "
    "the official ones. Default: sift official files, in a store float32; orb "
    "binary, which keeps its bits as they are.",
)
extraction_flags.define_image_flags()
extraction_flags.define_output_flags()
extraction_flags.define_worker_flags()
flags.mark_flags_as_required(["detector"])


def main() -> None:
    """Extracts by the flags."""
    extraction_flags.check_output()
    config = DetectorConfig(
        FLAGS.detector,
        FLAGS.max_features,
        FLAGS.max_image_size,
        FLAGS.threshold,
        FLAGS.root_sift,
        FLAGS.upright,
    )
    items = extraction_flags.listed_images()
    from delg_tf.extraction.detectors.extractor import DetectorExtractor
    from delg_tf.extraction.outputs import detector_sink
    from delg_tf.extraction.run import run_extraction

    options = extraction_flags.run_options()
    with detector_sink(
        config,
        FLAGS.output_features_dir,
        FLAGS.feature_store,
        FLAGS.local_format,
    ) as sink:
        summary = run_extraction(
            functools.partial(DetectorExtractor, config),
            items,
            sink,
            **options,
        )
    print(summary.describe())


if __name__ == "__main__":
    cli.run(main)
