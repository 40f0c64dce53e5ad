"""Which files for other programs an export can have, and where they lie."""

import dataclasses
import importlib.util
import pathlib

from delg_tf.common.errors import InputError

# SavedModel's folder for files that its graph does not use.
EXTRA = pathlib.Path("assets.extra")
ONNX, FLOAT16, INT8 = "onnx", "litert_float16", "litert_int8"
FORMATS = (ONNX, FLOAT16, INT8)
# In each format's folder: how far it is from Keras.
CHECK_FILE = "check.json"
IMAGE_FILE = "image.tflite"
# Extra of setup.py, and modules that it brings.
_LITERT = ("litert", ("ai_edge_litert", "ai_edge_quantizer"))
_NEEDS = {
    ONNX: ("onnx", ("tf2onnx", "onnx", "onnxruntime")),
    FLOAT16: _LITERT,
    INT8: _LITERT,
}


@dataclasses.dataclass(frozen=True)
class FormatOptions:
    """Files that are made beside the SavedModel.

    Attributes:
        formats: of `FORMATS`.
        calibration_images_dir: folder of images like those to be extracted,
            on which int8 measures its ranges.
        calibration_images: of these, at most.
        seed: of the choice of them.
    """

    formats: tuple[str, ...] = ()
    calibration_images_dir: str | None = None
    calibration_images: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            InputError: a format is unknown, or lacks its images or a package.
        """
        unknown = sorted(set(self.formats) - set(FORMATS))
        if unknown:
            raise InputError(
                f"--formats must be of {FORMATS}. Received: {unknown}"
            )
        if INT8 in self.formats and not self.calibration_images_dir:
            raise InputError(
                f"{INT8} needs --calibration_images_dir: a folder of images "
                "like those to be extracted."
            )
        for name in self.formats:
            extra, modules = _NEEDS[name]
            missing = [m for m in modules if not importlib.util.find_spec(m)]
            if missing:
                raise InputError(
                    f"{name} needs {', '.join(missing)}: pip install "
                    f"'delg-tf[{extra}]'."
                )
        if self.calibration_images < 1:
            raise InputError(
                "--calibration_images must be positive. Received: "
                f"{self.calibration_images}"
            )


def format_folder(model: pathlib.Path, name: str) -> pathlib.Path:
    """Folder of a format's files in an export."""
    return model / EXTRA / name


def onnx_path(model: pathlib.Path, signature: str) -> pathlib.Path:
    """The ONNX copy of a level function."""
    return format_folder(model, ONNX) / f"{signature}.onnx"
