"""Two images or feature files in, their match and its picture out."""

import dataclasses

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import existing_file, refuse_existing
from delg_tf.data.image_limits import MAX_PIXELS
from delg_tf.extraction.config import load_config
from delg_tf.extraction.images import (
    LoadedImage,
    UnreadableImageError,
    load_image,
)
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.choice import read_local_of
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.drawing import draw_matches
from delg_tf.matching.match import Match, match_local_features


@dataclasses.dataclass(frozen=True)
class PairInputs:
    """What is matched.

    Attributes:
        image_paths: the two images; each may be None if its features are
            given.
        feature_paths: their feature files; None: extracted from the image.
        feature_names: their names where a path is a folder or a store.
        config_path: extraction configuration, for images without features.
        model_path: takes the place of the configuration's model.
        output_image: picture to write, or None.
        overwrite: whether that file may exist.
        max_image_pixels: larger images are refused.
    """

    image_paths: tuple[str | None, str | None]
    feature_paths: tuple[str | None, str | None] = (None, None)
    feature_names: tuple[str | None, str | None] = (None, None)
    config_path: str | None = None
    model_path: str | None = None
    output_image: str | None = None
    overwrite: bool = False
    max_image_pixels: int = MAX_PIXELS


@dataclasses.dataclass(frozen=True, eq=False)
class PairMatch:
    """The match of two images.

    Attributes:
        features: local features of the first and the second image.
        match: the first image as the query, the second as the index image.
    """

    features: tuple[LocalFeatures, LocalFeatures]
    match: Match

    def describe(self) -> str:
        """Returns the counts and the geometric model as text."""
        first, second = (len(features) for features in self.features)
        lines = [
            f"features: {first} and {second}",
            f"putative matches: {len(self.match.putative)}",
            f"inliers: {self.match.num_inliers}",
        ]
        if self.match.model is None:
            lines.append("no geometric model")
        else:
            perspective = len(self.match.model) == 3
            # The third row of a homography has very small numbers.
            width = "12.6g" if perspective else "10.4f"
            lines.append(
                "model, from (y, x, 1) of the second image to "
                f"{'(y, x, 1) times a number' if perspective else '(y, x)'} "
                "of the first:"
            )
            lines += [
                "  " + " ".join(f"{value:{width}}" for value in row)
                for row in np.asarray(self.match.model)
            ]
        return "\n".join(lines)


def match_pair(inputs: PairInputs, config: MatchingConfig) -> PairMatch:
    """Matches two images.

    Args:
        inputs: images or features.
        config: how they are matched.

    Raises:
        InputError: something is missing or unreadable.
    """
    _check(inputs)
    features = _features(inputs)
    match = match_local_features(*features, config)
    if inputs.output_image:
        pictures = [
            _load(path, inputs.max_image_pixels).pixels
            for path in inputs.image_paths
        ]
        draw_matches(*pictures, *features, match, inputs.output_image)
    return PairMatch(features, match)


def _check(inputs: PairInputs) -> None:
    for number, (image, features) in enumerate(
        zip(inputs.image_paths, inputs.feature_paths), 1
    ):
        if image is None and features is None:
            raise InputError(
                f"Image {number}: pass --image_{number}_path or "
                f"--features_{number}_path."
            )
        if image is not None:
            existing_file(image, "image")
        if features is None and inputs.config_path is None:
            raise InputError(
                f"Image {number} has no feature file; extracting its features "
                "needs --delf_config_path."
            )
        if inputs.output_image and image is None:
            raise InputError(f"--output_image needs --image_{number}_path.")
    if inputs.output_image:
        refuse_existing(inputs.output_image, inputs.overwrite)


def _features(inputs: PairInputs) -> tuple[LocalFeatures, LocalFeatures]:
    extractor = None
    features = []
    for image, path, name in zip(
        inputs.image_paths, inputs.feature_paths, inputs.feature_names
    ):
        if path is not None:
            features.append(read_local_of(path, name))
            continue
        if extractor is None:
            # Loads TensorFlow, which feature files do not need.
            from delg_tf.extraction.extractor import Extractor

            config = load_config(inputs.config_path, inputs.model_path)
            config.use_local_features = True
            config.use_global_features = False
            extractor = Extractor(config)
        try:
            loaded = _load(image, inputs.max_image_pixels)
            features.append(extractor.extract(loaded).local)
        except UnreadableImageError as error:
            raise InputError(f"The image {image}: {error}.") from error
    return features[0], features[1]


def _load(path: str, max_pixels: int) -> LoadedImage:
    try:
        return load_image(path, max_pixels=max_pixels)
    except UnreadableImageError as error:
        raise InputError(
            f"The image {path} cannot be used: {error}."
        ) from error
