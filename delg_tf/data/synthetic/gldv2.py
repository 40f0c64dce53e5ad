"""Writes synthetic landmarks in the whole layout of Google Landmarks v2.

Of the same landmarks as `builder`: train/ shows those that a demonstration
trains on; test/ has further views of them, which it has not seen, and queries
of held-out landmarks, which index/ shows. Most images of test/ show none of
the labelled landmarks, as in the real set.
"""

import dataclasses
import hashlib
import pathlib

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike, read_json, write_json
from delg_tf.data.synthetic import camera
from delg_tf.data.synthetic.builder import TRAIN_OVERLAP, UNCLEAN_EVERY
from delg_tf.data.synthetic.landmarks import (
    Landmark,
    compose_scenes,
    cut_regions,
)
from delg_tf.data.synthetic.photographs import load_photographs
from delg_tf.data.synthetic.shots import (
    TEST_SIZES,
    TRAIN_SIZES,
    Shot,
    render_shots,
    write_csv,
)

# Views from here on are not among those that a demonstration trains on.
_FIRST_TEST_VIEW = 1000
# Every so many test images are of the public part.
_PUBLIC_EVERY = 3


@dataclasses.dataclass(frozen=True)
class SyntheticGldv2Config:
    """Size of the data set.

    Attributes:
        train_views: views of each labelled landmark; one more shows next to
            nothing of it and is not in train_clean.csv.
        test_views: views of each labelled landmark in test/.
        queries: views of each held-out landmark in test/.
        index_views: views of each held-out landmark in index/.
        distractors: views without a landmark, in test/ and in index/ each.
        landmarks: labelled landmarks, at most; 0: all.
        scenes: landmarks composed of several regions beside the plain ones,
            as in the demonstration.
        test_scenes: the same of held-out ones.
        seed: of everything random.
    """

    train_views: int = 7
    test_views: int = 1
    queries: int = 2
    index_views: int = 8
    distractors: int = 200
    landmarks: int = 0
    scenes: int = 60
    test_scenes: int = 6
    seed: int = 0


def build_synthetic_gldv2(
    output_directory: PathLike, config: SyntheticGldv2Config
) -> dict[str, int]:
    """Builds the data set, or what of it is missing.

    The folder gets train/, index/ and test/ with a/b/c/abc....jpg, train.csv,
    train_clean.csv, index.csv, test.csv, retrieval_solution_v2.1.csv and
    recognition_solution_v2.1.csv. Landmarks that share a region count as right
    for each other: the metrics of this set know no junk.

    Args:
        output_directory: created if it is missing.
        config: sizes and seed.

    Returns:
        How many images each of the folders has, and `landmarks`.

    Raises:
        InputError: the folder holds another data set.
    """
    root = pathlib.Path(output_directory)
    state, settings = root / "config.json", dataclasses.asdict(config)
    if state.exists() and read_json(state) != settings:
        raise InputError(
            f"{root} holds a data set with another configuration. Remove it "
            "or choose another folder."
        )
    write_json(state, settings)
    photographs = load_photographs(None, config.seed)
    regions = cut_regions(photographs["train"], TRAIN_OVERLAP, config.seed)
    labelled = regions + compose_scenes(regions, config.scenes, config.seed)
    labelled = labelled[-config.landmarks :]
    held_out = cut_regions(photographs["held_out"], 0.0, config.seed)
    held_out += compose_scenes(held_out, config.test_scenes, config.seed)
    plan = _Plan(root)
    _plan_labelled(plan, labelled, config)
    _plan_held_out(plan, held_out, config)
    for number in range(config.distractors):
        for folder in ("index", "test"):
            key = f"gldv2/{folder}/distractor{number}"
            image = plan.add(folder, key, None, camera.EASY, TEST_SIZES)
            if folder == "test":
                plan.recognition.append((image, []))
    render_shots(plan.shots, photographs, config.seed)
    plan.write_solutions()
    return {"landmarks": len(labelled), **plan.counts()}


class _Plan:
    """Images to be rendered, and what is right."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.shots: list[Shot] = []
        self.images: dict[str, list[str]] = {
            "train": [],
            "index": [],
            "test": [],
        }
        # Right landmarks, or index images, of test images.
        self.recognition: list[tuple[str, list[int]]] = []
        self.retrieval: list[tuple[str, list[str]]] = []

    def add(
        self,
        folder: str,
        key: str,
        landmark: Landmark | None,
        conditions: camera.Conditions,
        sizes: tuple[tuple[int, int], ...],
    ) -> str:
        """Plans an image; returns its id."""
        image = hashlib.sha256(key.encode()).hexdigest()[:16]
        path = self.root.joinpath(folder, *image[:3], f"{image}.jpg")
        self.shots.append(Shot(path, landmark, conditions, sizes, key))
        self.images[folder].append(image)
        return image

    def counts(self) -> dict[str, int]:
        """Returns the number of images in each folder."""
        return {folder: len(images) for folder, images in self.images.items()}

    def write_solutions(self) -> None:
        """Writes the lists and solutions of index/ and test/."""
        for folder in ("index", "test"):
            rows = [[image] for image in sorted(self.images[folder])]
            write_csv(self.root / f"{folder}.csv", ["id"], rows)
        write_csv(
            self.root / "recognition_solution_v2.1.csv",
            ["id", "landmarks", "Usage"],
            [
                [image, " ".join(map(str, landmarks)), _usage(number)]
                for number, (image, landmarks) in enumerate(
                    sorted(self.recognition)
                )
            ],
        )
        asked = dict(self.retrieval)
        queries = {image: i for i, image in enumerate(sorted(asked))}
        write_csv(
            self.root / "retrieval_solution_v2.1.csv",
            ["id", "images", "Usage"],
            [
                [image, " ".join(asked[image]), _usage(queries[image])]
                if image in asked
                else [image, "None", "Ignored"]
                for image in sorted(self.images["test"])
            ],
        )


def _usage(number: int) -> str:
    return "Public" if number % _PUBLIC_EVERY == 0 else "Private"


def _plan_labelled(
    plan: _Plan, landmarks: list[Landmark], config: SyntheticGldv2Config
) -> None:
    """Plans train/ with its lists, and test images of its landmarks."""
    # Ids with gaps, as GLDv2's.
    ids = [7 * number + 3 for number in range(len(landmarks))]
    related = _related(landmarks)
    rows, clean_rows = [], []
    for number, landmark in enumerate(landmarks):
        clean = []
        for view in [*range(config.train_views), UNCLEAN_EVERY - 1]:
            key = f"train/{landmark.name}/{view}"
            unclean = view == UNCLEAN_EVERY - 1
            kind = camera.JUNK if unclean else camera.TRAIN
            image = plan.add("train", key, landmark, kind, TRAIN_SIZES)
            rows.append([image, f"synthetic://{key}", ids[number]])
            if not unclean:
                clean.append(image)
        clean_rows.append([ids[number], " ".join(clean)])
        for view in range(config.test_views):
            key = f"train/{landmark.name}/{_FIRST_TEST_VIEW + view}"
            kind = camera.HARD if (number + view) % 2 else camera.EASY
            image = plan.add("test", key, landmark, kind, TEST_SIZES)
            right = [ids[other] for other in related[number]]
            plan.recognition.append((image, right))
    write_csv(plan.root / "train.csv", ["id", "url", "landmark_id"], rows)
    write_csv(
        plan.root / "train_clean.csv", ["landmark_id", "images"], clean_rows
    )


def _plan_held_out(
    plan: _Plan, landmarks: list[Landmark], config: SyntheticGldv2Config
) -> None:
    """Plans index/, and test images of the landmarks that it shows."""
    views: list[list[str]] = []
    for landmark in landmarks:
        views.append(
            [
                plan.add(
                    "index",
                    f"gldv2/index/{landmark.name}/{view}",
                    landmark,
                    camera.HARD if view % 2 else camera.EASY,
                    TEST_SIZES,
                )
                for view in range(config.index_views)
            ]
        )
    for landmark, others in zip(landmarks, _related(landmarks)):
        right = [image for other in others for image in views[other]]
        for view in range(config.queries):
            key = f"gldv2/test/{landmark.name}/{view}"
            image = plan.add("test", key, landmark, camera.QUERY, TEST_SIZES)
            plan.retrieval.append((image, right))
            # None of the labelled landmarks.
            plan.recognition.append((image, []))


def _related(landmarks: list[Landmark]) -> list[list[int]]:
    """Returns for each landmark those that share a region, and itself."""
    return [
        [
            number
            for number, other in enumerate(landmarks)
            if not set(other.regions).isdisjoint(landmark.regions)
        ]
        for landmark in landmarks
    ]
