"""Reading of aggregation configurations (text `AggregationConfig`)."""

import math

from google.protobuf import text_format

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, existing_file
from delg_tf.protos.aggregation_config_pb2 import AggregationConfig

_SUFFIXES = {
    AggregationConfig.VLAD: "vlad",
    AggregationConfig.ASMK: "asmk",
    AggregationConfig.ASMK_STAR: "asmk_star",
}
# Those that the official programs write; "r" is for regional.
EXTENSIONS = tuple(
    f".{regional}{suffix}"
    for regional in ("", "r")
    for suffix in _SUFFIXES.values()
)


def load_aggregation_config(
    path: PathLike, codebook_path: str | None = None
) -> AggregationConfig:
    """Reads and checks a `.pbtxt` file.

    A relative `codebook_path` is relative to the working directory, as in the
    official code.

    Args:
        path: the file.
        codebook_path: takes the place of the file's own, if given.

    Raises:
        InputError: it is missing, does not parse, or a value is out of range.
    """
    path = existing_file(path, "aggregation configuration")
    try:
        config = parse_aggregation_config(path.read_text(encoding="utf-8"))
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error
    if codebook_path:
        config.codebook_path = codebook_path
    return config


def parse_aggregation_config(text: str) -> AggregationConfig:
    """Returns the message of a text.

    Raises:
        InputError: it does not parse, or a value is out of range.
    """
    config = AggregationConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise InputError(str(error)) from error
    check_aggregation_config(config)
    return config


def check_aggregation_config(config: AggregationConfig) -> None:
    """Checks the values of a configuration.

    Raises:
        InputError: one is out of range; the message names the field.
    """
    checks = {
        "`aggregation_type` must be VLAD, ASMK or ASMK_STAR": (
            config.aggregation_type in _SUFFIXES
        ),
        "`codebook_size` must be positive": config.codebook_size > 0,
        "`feature_dimensionality` must be positive": (
            config.feature_dimensionality > 0
        ),
        "`num_assignments` must be from 1 to `codebook_size`": (
            1 <= config.num_assignments <= config.codebook_size
        ),
        "`alpha` must be a positive number": 0 < config.alpha < math.inf,
        "`tau` must be a finite number": math.isfinite(config.tau),
    }
    for problem, passed in checks.items():
        if not passed:
            raise InputError(f"{problem}.")


def extension_of(config: AggregationConfig) -> str:
    """Returns the extension of files, e.g. `.asmk_star` or `.rvlad`."""
    regional = "r" if config.use_regional_aggregation else ""
    return f".{regional}{_SUFFIXES[config.aggregation_type]}"


def config_text(config: AggregationConfig) -> str:
    """Returns the text of a configuration."""
    return text_format.MessageToString(config, as_utf8=True)


def bytes_per_word(config: AggregationConfig) -> int:
    """Returns the bytes of one binarised residual: D / 8, rounded up."""
    return -(-config.feature_dimensionality // 8)
