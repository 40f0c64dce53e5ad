"""Writes the synthetic data set: GLDv2 layout and Revisited test sets."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import (
    PathLike,
    read_json,
    write_json,
)
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.data.synthetic import camera
from delg_tf.data.synthetic.landmarks import (
    Landmark,
    compose_scenes,
    cut_regions,
)
from delg_tf.data.synthetic.photographs import Photograph, load_photographs
from delg_tf.data.synthetic.shots import (
    TEST_SIZES,
    TRAIN_SIZES,
    Shot,
    render_shots,
    write_csv,
)

# Training landmarks may share up to this part of a window; tested ones none,
# or a correct answer would count as wrong.
TRAIN_OVERLAP = 0.2
# Every so many training views one shows next to nothing of its landmark; it
# is in train.csv and not in train_clean.csv, as in GLDv2.
UNCLEAN_EVERY = 20


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """Size of the data set.

    Attributes:
        train_views: views of each training landmark.
        scenes: training landmarks composed of several regions, beside the
            plain regions.
        test_scenes: the same for each test set.
        queries: query views of each test landmark.
        easy, hard, junk: index views of each test landmark, by condition.
        distractors: index views of each test set without a landmark.
        seed: of everything random.
    """

    train_views: int = 60
    scenes: int = 60
    test_scenes: int = 6
    queries: int = 2
    easy: int = 4
    hard: int = 5
    junk: int = 2
    distractors: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the counts."""
        for field in dataclasses.fields(self):
            least = 2 if field.name == "train_views" else 0
            least = 1 if field.name in ("queries", "easy", "hard") else least
            if getattr(self, field.name) < least:
                raise InputError(
                    f"`{field.name}` must be at least {least}. Received: "
                    f"{getattr(self, field.name)}"
                )


def build_dataset(
    output_directory: PathLike,
    config: SyntheticConfig,
    photos_directory: PathLike | None = None,
) -> dict:
    """Builds the data set, or what of it is missing.

    Layout of `output_directory`:

    * `train/a/b/c/<id>.jpg`, `train.csv`, `train_clean.csv`,
      `train_label_to_category.csv`: as GLDv2.
    * `validation/` and `held_out/`: `jpg/<name>.jpg` and `gnd.pkl`, as
      Revisited Oxford, of photographs that no training landmark shows.
    * `dataset.json`: what was built, written last.

    Args:
        output_directory: created if it is missing.
        config: sizes and seed.
        photos_directory: further photographs (see `load_photographs`).

    Returns:
        The content of `dataset.json`.

    Raises:
        InputError: the directory holds a data set of another configuration,
            or there are too few photographs.
    """
    root = pathlib.Path(output_directory)
    photographs = load_photographs(photos_directory, config.seed)
    summary = {
        "config": dataclasses.asdict(config),
        "photographs": {
            group: {photo.name: _digest(photo) for photo in photos}
            for group, photos in photographs.items()
        },
    }
    _check_same(root, summary)
    write_json(root / "config.json", summary)
    shots, counts = _plan_train(root, photographs["train"], config)
    summary["train"] = counts
    truths = {}
    for group in ("validation", "held_out"):
        test_shots, truth, counts = _plan_test(
            root / group, photographs[group], config
        )
        shots += test_shots
        truths[group] = truth
        summary[group] = counts
    boxes = render_shots(shots, photographs, config.seed)
    for group, truth in truths.items():
        _write_truth(root / group, truth, boxes)
    write_json(root / "dataset.json", summary)
    return summary


def _digest(photo: Photograph) -> str:
    return hashlib.sha256(photo.pixels.tobytes()).hexdigest()[:16]


def _check_same(root: pathlib.Path, summary: dict) -> None:
    path = root / "config.json"
    if path.exists() and read_json(path) != summary:
        raise InputError(
            f"{root} holds a data set with another configuration or other "
            "photographs. Remove it or choose another output directory."
        )


def _plan_train(
    root: pathlib.Path, photographs: list[Photograph], config: SyntheticConfig
) -> tuple[list[Shot], dict]:
    """Plans the training views and writes the CSV files."""
    regions = cut_regions(photographs, TRAIN_OVERLAP, config.seed)
    scenes = compose_scenes(regions, config.scenes, config.seed)
    landmarks = regions + scenes
    shots, rows, clean_rows = [], [], []
    for label, landmark in enumerate(landmarks):
        # Ids with gaps, as GLDv2's.
        landmark_id = 7 * label + 3
        clean = []
        for view in range(config.train_views):
            key = f"train/{landmark.name}/{view}"
            image_id = hashlib.sha256(key.encode()).hexdigest()[:16]
            unclean = view % UNCLEAN_EVERY == UNCLEAN_EVERY - 1
            path = root.joinpath("train", *image_id[:3], f"{image_id}.jpg")
            conditions = camera.JUNK if unclean else camera.TRAIN
            shots.append(Shot(path, landmark, conditions, TRAIN_SIZES, key))
            rows.append([image_id, f"synthetic://{key}", landmark_id])
            if not unclean:
                clean.append(image_id)
        clean_rows.append([landmark_id, " ".join(clean)])
    write_csv(root / "train.csv", ["id", "url", "landmark_id"], rows)
    write_csv(root / "train_clean.csv", ["landmark_id", "images"], clean_rows)
    write_csv(
        root / "train_label_to_category.csv",
        ["landmark_id", "category"],
        [[7 * i + 3, landmark.name] for i, landmark in enumerate(landmarks)],
    )
    return shots, {
        "landmarks": len(landmarks),
        "regions": len(regions),
        "images": len(shots),
    }


def _plan_test(
    root: pathlib.Path, photographs: list[Photograph], config: SyntheticConfig
) -> tuple[list[Shot], RevisitedGroundTruth, dict]:
    """Plans a test set; the queries' boxes are not known yet."""
    landmarks = cut_regions(photographs, 0.0, config.seed)
    if len(landmarks) < 4:
        raise InputError(
            f"The photographs for {root.name!r} have only {len(landmarks)} "
            "structured regions; 4 are needed."
        )
    landmarks += compose_scenes(landmarks, config.test_scenes, config.seed)
    shots, index_names, queries, query_names = [], [], [], []

    def add(name: str, landmark: Landmark | None, kind: camera.Conditions):
        path = root / "jpg" / f"{name}.jpg"
        shots.append(
            Shot(path, landmark, kind, TEST_SIZES, f"{root.name}/{name}")
        )

    labels = []
    for number, landmark in enumerate(landmarks):
        ids = {}
        for kind, conditions, count in (
            ("easy", camera.EASY, config.easy),
            ("hard", camera.HARD, config.hard),
            ("junk", camera.JUNK, config.junk),
        ):
            first = len(index_names)
            for view in range(count):
                name = f"landmark{number:03d}_{kind}{view}"
                add(name, landmark, conditions)
                index_names.append(name)
            ids[kind] = np.arange(first, len(index_names))
        labels.append(ids)
        for view in range(config.queries):
            name = f"landmark{number:03d}_query{view}"
            add(name, landmark, camera.QUERY)
            query_names.append(name)
    for ids in _with_relatives_as_junk(landmarks, labels):
        queries += [RevisitedQuery(bbx=None, **ids)] * config.queries
    for number in range(config.distractors):
        name = f"distractor{number:03d}"
        add(name, None, camera.EASY)
        index_names.append(name)
    truth = RevisitedGroundTruth(query_names, index_names, queries)
    counts = {
        "landmarks": len(landmarks),
        "queries": len(queries),
        "index": len(index_names),
    }
    return shots, truth, counts


def _with_relatives_as_junk(
    landmarks: list[Landmark], labels: list[dict[str, np.ndarray]]
) -> list[dict[str, np.ndarray]]:
    """Adds the views of landmarks that share a region to the junk.

    A scene shows a part of each of its regions, which are landmarks too:
    finding one by the other is neither right nor wrong.
    """
    merged = []
    for landmark, ids in zip(landmarks, labels):
        relatives = [
            theirs
            for other, theirs in zip(landmarks, labels)
            if other is not landmark
            and not set(other.regions).isdisjoint(landmark.regions)
        ]
        shared = [view for theirs in relatives for view in theirs.values()]
        junk = np.sort(np.concatenate([ids["junk"], *shared]))
        merged.append({**ids, "junk": junk})
    return merged


def _write_truth(
    root: pathlib.Path,
    truth: RevisitedGroundTruth,
    boxes: dict[str, tuple[float, float, float, float]],
) -> None:
    queries = [
        dataclasses.replace(query, bbx=boxes[f"{root.name}/{name}"])
        for name, query in zip(truth.query_names, truth.queries)
    ]
    truth = dataclasses.replace(truth, queries=queries)
    save_ground_truth(truth, root / "gnd.pkl", overwrite=True)
