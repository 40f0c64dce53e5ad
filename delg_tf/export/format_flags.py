"""Flags of the files for other programs, which two tools make."""

from collections.abc import Sequence

from absl import flags

FLAGS = flags.FLAGS
_NAMES = (
    "formats",
    "calibration_images_dir",
    "calibration_images",
    "seed",
)


def define(default: Sequence[str]) -> None:
    """Defines the flags.

    Args:
        default: of --formats.
    """
    flags.DEFINE_list(
        "formats",
        list(default),
        "Files for other programs: onnx (the network on a level, which "
        "--runtime=onnxruntime runs), litert_float16, litert_int8 (LiteRT, "
        "which TensorFlow Lite is called now: an image in, its features out).",
    )
    flags.DEFINE_string(
        "calibration_images_dir",
        None,
        "For litert_int8: folder of images like those to be extracted, on "
        "which activations' ranges are measured.",
    )
    flags.DEFINE_integer(
        "calibration_images", 100, "Of these images, so many at most."
    )
    flags.DEFINE_integer("seed", 0, "Of the choice of them.")


def values() -> dict:
    """What was given, by field of `export.formats.FormatOptions`."""
    given = {name: FLAGS[name].value for name in _NAMES}
    return given | {"formats": tuple(given["formats"])}
