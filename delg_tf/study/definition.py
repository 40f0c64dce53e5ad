"""Reading of `study.pbtxt`: which runs an experiment compares, and by what."""

import pathlib

from absl import flags
from google.protobuf import text_format

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.protos import study_pb2

STUDY_FILE = "study.pbtxt"
DEMO_FLAGS = "demo.flags"
EXTRACTION_FILE = "extract.pbtxt"


def load_study(folder: PathLike) -> study_pb2.Study:
    """Reads and checks the study of an experiment's folder.

    Raises:
        InputError: a file is missing, does not parse, or contradicts itself.
    """
    folder = pathlib.Path(folder)
    path = existing_file(folder / STUDY_FILE, "study")
    study = study_pb2.Study()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), study)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    _check(study, path)
    for variant in study.variants:
        existing_file(flagfile(folder, variant), "flagfile of a variant")
    if needs_extraction(study):
        existing_file(folder / EXTRACTION_FILE, "extraction configuration")
    return study


def flagfile(folder: pathlib.Path, variant: study_pb2.Variant) -> pathlib.Path:
    """The file of a variant's training flags."""
    return folder / f"{variant.name}.flags"


def needs_extraction(study: study_pb2.Study) -> bool:
    """Whether anything is measured but the training itself."""
    return any(m != study_pb2.Study.SPARSITY for m in study.measures)


def autoencoder_dimensions(flagfiles: list[pathlib.Path]) -> int:
    """The last `--autoencoder_dimensions` in flagfiles and in those they name.

    Raises:
        InputError: it is not given there.
    """
    arguments = flags.FLAGS.read_flags_from_files(
        [f"--flagfile={path}" for path in flagfiles]
    )
    prefix = "--autoencoder_dimensions="
    values = [a.removeprefix(prefix) for a in arguments if a.startswith(prefix)]
    if not values or not values[-1].isdigit():
        raise InputError(
            f"{flagfiles[0]}: `local_pca` reduces descriptors to "
            f"{prefix}..., which the flagfiles must give."
        )
    return int(values[-1])


def _check(study: study_pb2.Study, path: pathlib.Path) -> None:
    names = [variant.name for variant in study.variants]
    for place, variant in enumerate(study.variants):
        if not variant.name or variant.name != pathlib.Path(variant.name).name:
            raise InputError(
                f"{path}: the `name` of a variant must be a file's name. "
                f"Received: {variant.name!r}"
            )
        if variant.name in names[:place]:
            raise InputError(f"{path}: two variants are called {variant.name}.")
        if variant.init_from and variant.init_from not in names[:place]:
            raise InputError(
                f"{path}: {variant.name} starts from {variant.init_from!r}, "
                "which is no variant above it."
            )
    if not any(not variant.is_start_only for variant in study.variants):
        raise InputError(f"{path} has no variant to compare.")
    if not study.measures:
        raise InputError(f"{path} measures nothing: give `measures`.")
