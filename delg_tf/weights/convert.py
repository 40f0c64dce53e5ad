"""What `tools/convert_weights.py` does."""

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike
from delg_tf.models.resnet import ARCHITECTURES
from delg_tf.weights.collect import reasons
from delg_tf.weights.converted import save_converted
from delg_tf.weights.load import read_pretrained


def convert(
    path: PathLike,
    folder: PathLike,
    fmt: str = "auto",
    backbone: str | None = None,
    overwrite: bool = False,
) -> str:
    """Converts weights to this package's layout.

    Args:
        path: see `load.read_pretrained`.
        folder: to be made.
        fmt: one of `FORMATS`, or "auto".
        backbone: the network that they must be; None: any.
        overwrite: whether an older folder of this kind is replaced.

    Returns:
        A report for people.

    Raises:
        InputError: the weights cannot be read or are incomplete, or the
            folder is taken.
    """
    if backbone is not None and backbone not in ARCHITECTURES:
        raise InputError(
            f"The backbone must be one of {sorted(ARCHITECTURES)}. Received: "
            f"{backbone!r}"
        )
    pretrained = read_pretrained(path, fmt)
    save_converted(pretrained, folder, backbone, overwrite)
    source = pretrained.source
    values = sum(array.size for array in pretrained.arrays.values())
    lines = [
        f"{path}: {source.backbone} ({source.format}), "
        f"{len(pretrained.arrays)} arrays, {values:,} values",
        f"parts: {', '.join(source.parts)}",
        *reasons(pretrained.left_out),
        "train with: "
        + " ".join(f"--{k}={v}" for k, v in source.config_fields().items()),
        f"written to {folder}",
    ]
    return "\n".join(lines)
