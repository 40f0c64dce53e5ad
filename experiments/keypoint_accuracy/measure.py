"""Measures how far local features lie from where they belong.

Two measurements, each with both conventions of `--keypoints`:

* spots: a network whose weights are all positive is shown one soft spot. It
  answers symmetrically around it, so the mean of the features' locations,
  weighted by their response, is the spot, or the locations are wrong.
* photographs: a network with random weights sees photographs and what known
  similarities make of them. Its descriptors are matched, and the matches'
  locations compared with the similarity. Network, features and matches are
  the same for both conventions; only the locations differ.
"""

import cv2
import numpy as np
import skimage.data
import tensorflow as tf
import tf_keras as keras
from absl import flags

from delg_tf.common import cli
from delg_tf.common.progress import track
from delg_tf.export.metadata import KEYPOINTS
from delg_tf.export.modules import LocalModule
from delg_tf.models.config import STEMS, STRIDE_POSITIONS, DelgConfig
from delg_tf.models.delg import Delg

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "stride_position", "last_unit", STRIDE_POSITIONS, "Of the network."
)
flags.DEFINE_enum("stem", None, STEMS, "Of the network.")
flags.DEFINE_integer("warps", 4, "Warps of each photograph.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of weights, spots and warps.")

SCALES = (0.35355338, 0.5, 0.70710677, 1.0, 1.4142135, 2.0)
SPOT_SIZES = ((512, 512), (601, 640), (515, 575))
# Matches farther off than this by both conventions are wrong matches.
LARGEST_RESIDUAL = 20.0
# Fewer matches of one pair of levels do not average out the grid's spacing.
SMALLEST_GROUP = 50


def make_modules(model: Delg) -> list[LocalModule]:
    """One exported computation for each convention."""
    return [LocalModule(model, 1.0, kind == "exact") for kind in KEYPOINTS]


def extract(
    module: LocalModule, image: np.ndarray, scales: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All features: locations [N, 2] (y, x), descriptors [N, D], scales."""
    outputs = module.extract(
        tf.constant(image),
        tf.constant(scales, tf.float32),
        tf.constant(1_000_000),
        tf.constant(0.0),
    )
    boxes = outputs["boxes"].numpy().astype(np.float64)
    locations = (boxes[:, :2] + boxes[:, 2:]) / 2
    return locations, outputs["features"].numpy(), outputs["scales"].numpy()


def make_positive(model: Delg) -> None:
    """Makes the trunk average: equal weights, no normalisation."""
    for variable in model.trunk.variables:
        if "kernel" in variable.name:
            weight = 1 / np.prod(variable.shape[:-1])
            variable.assign(tf.fill(variable.shape, np.float32(weight)))
        else:
            is_one = variable.name.endswith(("gamma:0", "variance:0"))
            variable.assign(tf.fill(variable.shape, float(is_one)))


def measure_spots(model: Delg, rng: np.random.Generator) -> np.ndarray:
    """Errors [conventions, scales, sizes, 2] in pixels of the image."""
    make_positive(model)
    modules = make_modules(model)
    errors = np.zeros((len(modules), len(SCALES), len(SPOT_SIZES), 2))
    for j, scale in enumerate(SCALES):
        for k, size in enumerate(SPOT_SIZES):
            spot = np.array(size) / 2 + rng.uniform(-15, 15, 2)
            y, x = np.mgrid[: size[0], : size[1]]
            width = min(30 / scale, min(size) / 7)
            squared = ((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / width**2
            grey = np.rint(128 + 127 * np.exp(-squared / 2)).astype(np.uint8)
            image = np.repeat(grey[..., None], 3, axis=2)
            for i, module in enumerate(modules):
                locations, features, _ = extract(module, image, (scale,))
                weights = features[:, 0].astype(np.float64)
                mean = weights @ locations / weights.sum()
                errors[i, j, k] = mean - spot
    return errors


def random_warp(
    picture: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A warped picture of another size, and the similarity [2, 3] (x, y)."""
    height, width = picture.shape[:2]
    scale = np.exp(rng.uniform(np.log(0.6), np.log(1.4)))
    angle = np.radians(rng.uniform(-4, 4))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    new_size = np.rint(np.array([width, height]) * scale).astype(int)
    new_size += rng.integers(-9, 10, 2)
    shift = new_size / 2 - linear @ [width / 2, height / 2]
    similarity = np.c_[linear, shift + rng.uniform(-20, 20, 2)]
    if scale < 1:  # Against aliasing.
        picture = cv2.GaussianBlur(picture, (0, 0), 0.5 / scale)
    warped = cv2.warpAffine(
        picture,
        similarity,
        new_size.tolist(),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return warped, similarity


def mutual_matches(
    first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of descriptors that are each other's nearest."""
    mean = first.mean(axis=0)
    first, second = first - mean, second - mean
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    cosines = first @ second.T
    forth, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
    mutual = np.flatnonzero(back[forth] == np.arange(len(first)))
    return mutual, forth[mutual]


def measure_pair(
    modules: list[LocalModule],
    picture: np.ndarray,
    warped: np.ndarray,
    similarity: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals [conventions, N, 2] of the right matches, and their levels."""
    left = [extract(module, picture, SCALES) for module in modules]
    right = [extract(module, warped, SCALES) for module in modules]
    i, j = mutual_matches(left[0][1], right[0][1])
    residuals = []
    for (source, _, _), (target, _, _) in zip(left, right):
        expected = source[i, ::-1] @ similarity[:, :2].T + similarity[:, 2]
        residuals.append(target[j, ::-1] - expected)
    residuals = np.stack(residuals)
    levels = np.c_[left[0][2][i], right[0][2][j]]
    right_ones = (
        np.linalg.norm(residuals, axis=2).min(axis=0) < LARGEST_RESIDUAL
    )
    return residuals[:, right_ones], levels[right_ones]


def measure_photographs(
    model: Delg, warps: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the residuals [conventions, N] and of group means.

    A match is off by up to half the grid's spacing even if all locations are
    exact. The mean over all matches of one pair of levels of one pair of
    pictures is (nearly) free of that.
    """
    modules = make_modules(model)
    lengths, means = [], []
    pictures = [
        getattr(skimage.data, name)()
        for name in ("astronaut", "coffee", "chelsea", "rocket")
    ]
    for picture in track(pictures * warps, "Photographs", "pair"):
        warped, similarity = random_warp(picture, rng)
        residuals, levels = measure_pair(modules, picture, warped, similarity)
        lengths.append(np.linalg.norm(residuals, axis=2))
        for pair in np.unique(levels, axis=0):
            group = (levels == pair).all(axis=1)
            if group.sum() >= SMALLEST_GROUP:
                mean = residuals[:, group].mean(axis=1)
                means.append(np.linalg.norm(mean, axis=1))
    return np.concatenate(lengths, axis=1), np.stack(means, axis=1)


def main() -> None:
    """Measures and prints."""
    keras.utils.set_random_seed(FLAGS.seed)
    model = Delg(
        DelgConfig(
            backbone="resnet_small",
            num_classes=2,
            local_reduction="none",
            stride_position=FLAGS.stride_position,
            stem=FLAGS.stem,
        )
    )
    model.build_variables()
    rng = np.random.default_rng(FLAGS.seed)
    lengths, means = measure_photographs(model, FLAGS.warps, rng)
    spots = np.linalg.norm(measure_spots(model, rng), axis=3)
    print(f"network: {model.config.stride_position}, {model.config.stem_kind}")
    print("spots, error in pixels of the image by pyramid scale")
    for kind, errors in zip(KEYPOINTS, spots):
        row = " ".join(
            f"{s:.2f}:{e:6.2f}" for s, e in zip(SCALES, errors.mean(1))
        )
        print(f"  {kind:8} {row}  largest {errors.max():.2f}")
    print(f"photographs, {lengths.shape[1]} matches, {means.shape[1]} groups")
    for kind, length, mean in zip(KEYPOINTS, lengths, means):
        print(
            f"  {kind:8} residual median {np.median(length):.2f}, within 5 "
            f"pixels {np.mean(length < 5):.1%}; of group means: median "
            f"{np.median(mean):.2f}, rms {np.sqrt(np.mean(mean**2)):.2f}"
        )


if __name__ == "__main__":
    cli.run(main)
