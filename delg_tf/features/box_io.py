"""Files of detected boxes (`.boxes`): the official Boxes message."""

import dataclasses

import numpy as np

from delg_tf.common import files
from delg_tf.features import datum_io
from delg_tf.protos import box_pb2


@dataclasses.dataclass(frozen=True, eq=False)
class DetectedBoxes:
    """Boxes that a detector found in one image.

    Attributes:
        boxes: [N, 4] float32, (ymin, xmin, ymax, xmax) relative to the
            image's height and width, 0 to 1.
        scores: [N] float32, the detector's confidence.
        class_indices: [N] int32.

    Raises:
        ValueError: an array has another shape.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_indices: np.ndarray

    def __post_init__(self) -> None:
        count = len(np.atleast_1d(self.scores))
        for name, dtype, shape in (
            ("boxes", np.float32, (count, 4)),
            ("scores", np.float32, (count,)),
            ("class_indices", np.int32, (count,)),
        ):
            value = np.asarray(getattr(self, name), dtype)
            if value.shape != shape:
                raise ValueError(
                    f"`{name}` must have the shape {shape}. Received: "
                    f"{value.shape}."
                )
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.scores)


def serialize_boxes(detected: DetectedBoxes) -> bytes:
    """Returns the bytes of a Boxes message."""
    message = box_pb2.Boxes()
    for box, score, class_index in zip(
        detected.boxes.tolist(),
        detected.scores.tolist(),
        detected.class_indices.tolist(),
        strict=True,
    ):
        ymin, xmin, ymax, xmax = box
        message.box.add(
            ymin=ymin,
            xmin=xmin,
            ymax=ymax,
            xmax=xmax,
            score=score,
            class_index=class_index,
        )
    return message.SerializeToString()


def parse_boxes(data: bytes, source: str = "The data") -> DetectedBoxes:
    """Returns the boxes of a serialised Boxes message.

    Raises:
        InputError: the data is damaged; the message starts with `source`.
    """
    message = datum_io.parse_message(box_pb2.Boxes, data, source)
    boxes = [[b.ymin, b.xmin, b.ymax, b.xmax] for b in message.box]
    return DetectedBoxes(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array([b.score for b in message.box], np.float32),
        class_indices=np.array([b.class_index for b in message.box], np.int32),
    )


def write_boxes(path: files.PathLike, detected: DetectedBoxes) -> None:
    """Writes a `.boxes` file, atomically; replaces what is there."""
    datum_io.write_bytes(path, serialize_boxes(detected))


def read_boxes(path: files.PathLike) -> DetectedBoxes:
    """Reads a `.boxes` file.

    Raises:
        InputError: the file is missing or damaged.
    """
    return parse_boxes(datum_io.read_bytes(path), str(path))
