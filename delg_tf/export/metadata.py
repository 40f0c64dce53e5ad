"""What an exported model carries beside its graph."""

import dataclasses
import pathlib

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, read_json, write_json
from delg_tf.models.stored_config import EXPORT_FILE

KINDS = ("local", "global", "local_and_global")
KEYPOINTS = ("exact", "official")
DESCRIPTORS = (
    "serving_default and the level functions: raw, but for one pooled over "
    "fixed scales; serve_batch: of unit length, each scale's before they are "
    "added, and the sum"
)


@dataclasses.dataclass(frozen=True)
class ExportMetadata:
    """Facts about an exported model.

    Attributes:
        kind: one of `KINDS`.
        keypoints: "exact": boxes are centred on the true receptive fields;
            "official": on stride * index / scale, as the official code.
        local_stride: pixels between local features.
        receptive_field: side of a local feature's receptive field, pixels.
        attention_median: median attention score at the end of training.
        attention_percentile_75: 75th percentile of it.
        normalisation: what the graph does to pixel values.
        model: the network (`DelgConfig.to_dict`).
        created_by: name and version of the program.
        iou_threshold: that local features were thinned out by.
        smallest_level: shortest side in pixels of a level that has a cell;
            0 in exports of earlier versions.
        windows: for height and width, what the layers see from the image to
            block3 (`receptive_field.Window`, as lists); empty in exports of
            earlier versions.
        scales: of the pyramid of `serve_batch`, and as advice to others;
            empty in exports of earlier versions, as the next ones are.
        global_scales: indices of the scales that global descriptors are
            pooled over.
        max_features: local features of an image, at most.
        score_threshold: least attention score of a local feature.
        descriptors: which outputs have descriptors of unit length, and which
            raw ones.
        class_labels: name of the file beside this one with the names of the
            classes that were trained, one a line.
        class_list: which classes these are (`data.class_list.ClassList`);
            None where the training's records do not say.
    """

    kind: str
    keypoints: str
    local_stride: int
    receptive_field: int
    attention_median: float
    attention_percentile_75: float
    normalisation: str
    model: dict
    created_by: str
    iou_threshold: float = 1.0
    smallest_level: int = 0
    windows: list = dataclasses.field(default_factory=list)
    scales: list = dataclasses.field(default_factory=list)
    global_scales: list = dataclasses.field(default_factory=list)
    max_features: int = 0
    score_threshold: float = 0.0
    descriptors: str = ""
    class_labels: str = ""
    class_list: dict | None = None


def save_metadata(directory: PathLike, metadata: ExportMetadata) -> None:
    """Writes the metadata into a SavedModel's folder."""
    path = pathlib.Path(directory) / EXPORT_FILE
    write_json(path, dataclasses.asdict(metadata))


def load_metadata(directory: PathLike) -> ExportMetadata | None:
    """Reads the metadata of a SavedModel; None if it has none.

    Raises:
        InputError: the file is damaged.
    """
    path = pathlib.Path(directory) / EXPORT_FILE
    if not path.is_file():
        return None
    try:
        return ExportMetadata(**read_json(path))
    except TypeError as error:
        raise InputError(f"{path} is incomplete: {error}") from error
