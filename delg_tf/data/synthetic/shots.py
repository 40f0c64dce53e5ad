"""Views of landmarks: planned, rendered and written as JPEG files."""

import concurrent.futures
import csv
import dataclasses
import hashlib
import os
import pathlib

import cv2
import numpy as np

from delg_tf.common.files import atomic_write
from delg_tf.common.progress import Progress
from delg_tf.data.synthetic import camera
from delg_tf.data.synthetic.landmarks import Landmark
from delg_tf.data.synthetic.photographs import Photograph

# Height and width of views.
TRAIN_SIZES = ((160, 160), (144, 192), (192, 144))
TEST_SIZES = ((192, 256), (256, 192), (224, 224))


@dataclasses.dataclass(frozen=True)
class Shot:
    """One view to be rendered.

    Attributes:
        path: of the file.
        landmark: what it shows; None: nothing.
        conditions: how it was taken.
        sizes: one of them is drawn.
        key: the view is drawn by this and the seed alone.
    """

    path: pathlib.Path
    landmark: Landmark | None
    conditions: camera.Conditions
    sizes: tuple[tuple[int, int], ...]
    key: str


def render_shots(
    shots: list[Shot], photographs: dict[str, list[Photograph]], seed: int
) -> dict[str, tuple[float, float, float, float]]:
    """Renders and writes the views; returns at least the queries' boxes.

    Background and occluders come from the training photographs in every
    group, so that they tell nothing about held-out landmarks. A view depends
    on its key and the seed alone, not on the order.
    """
    scenery = [photo.pixels for photo in photographs["train"]]

    def render(shot: Shot) -> tuple[str, tuple[float, float, float, float]]:
        digest = hashlib.sha256(f"{seed}/{shot.key}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
        background, occluder = rng.choice(len(scenery), 2, replace=False)
        size = shot.sizes[rng.integers(len(shot.sizes))]
        view = camera.photograph(
            shot.landmark.facade if shot.landmark else None,
            scenery[background],
            scenery[occluder],
            shot.conditions,
            size,
            rng,
        )
        if not shot.path.exists():
            _write_jpeg(shot.path, view)
        return shot.key, view.box

    # Only a query's box is asked for; other finished views need no work.
    todo = [
        shot
        for shot in shots
        if shot.conditions is camera.QUERY or not shot.path.exists()
    ]
    boxes = {}
    workers = os.cpu_count() or 1
    with (
        Progress(
            len(shots),
            "Photographing landmarks",
            "view",
            done=len(shots) - len(todo),
        ) as progress,
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        for key, box in pool.map(render, todo):
            boxes[key] = box
            progress.advance()
    return boxes


def _write_jpeg(path: pathlib.Path, view: camera.View) -> None:
    done, data = cv2.imencode(
        ".jpg",
        cv2.cvtColor(view.pixels, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, view.quality],
    )
    if not done:
        raise RuntimeError(f"OpenCV could not encode {path}")
    with atomic_write(path) as file:
        file.write(data.tobytes())


def write_csv(path: pathlib.Path, header: list[str], rows: list) -> None:
    """Writes a CSV file."""
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
