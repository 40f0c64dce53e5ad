"""Outputs of exported files on photographs, compared with the network's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.data.synthetic.photographs import check_photographs
from delg_tf.export.agreement import (
    Agreement,
    compare_features,
    compare_selection,
    unit,
)
from delg_tf.export.metadata import ExportMetadata
from delg_tf.export.reference import (
    Expected,
    Network,
    expected_of,
)

# Longer sides of the photographs in pixels; small ones, which are quick.
_SIDES = (161, 240, 97)
# Name of a level function, levels -> outputs.
RunLevel = Callable[[str, np.ndarray], Mapping[str, np.ndarray]]
# One image, uint8 `[H, W, 3]` -> outputs of `serve_batch`, without the batch.
RunImage = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class Check:
    """The photographs, and what the network says of them.

    Args:
        network: the reference.
        metadata: of the export.

    Attributes:
        metadata: likewise.
    """

    def __init__(self, network: Network, metadata: ExportMetadata):
        self._network = network
        self.metadata = metadata
        self._images = check_photographs(_SIDES)
        self._expected: list[Expected] = []

    def levels(
        self,
        name: str,
        precision: str,
        signatures: Sequence[str],
        run: RunLevel,
    ) -> Agreement:
        """Compares level functions.

        Args:
            name: of the file, for messages.
            precision: see `Agreement`.
            signatures: names of the functions.
            run: runs one of them.

        Raises:
            InputError: they differ.
        """
        agreement = Agreement(name, precision)
        for image in self._images:
            levels = image[np.newaxis].astype(np.float32)
            expected = self._network(levels)
            for signature in signatures:
                for output, found in run(signature, levels).items():
                    compare = (
                        agreement.values
                        if output == "scores"
                        else agreement.descriptors
                    )
                    compare(output, found, expected[output])
        agreement.check()
        return agreement

    def images(self, name: str, precision: str, run: RunImage) -> Agreement:
        """Compares a function of an image with fixed scales.

        Args:
            name: of the file, for messages.
            precision: see `Agreement`.
            run: runs it.

        Raises:
            InputError: they differ.
        """
        metadata = self.metadata
        agreement = Agreement(name, precision)
        for image, expected in zip(self._images, self._of_images()):
            found = run(image)
            if "global_descriptor" in found:
                _compare_vector(agreement, found, expected, metadata)
            if "count" not in found:
                continue
            there = slice(0, int(found["count"]))
            local = {
                output: found[output][there]
                for output in ("locations", "descriptors", "scales", "scores")
            }
            compare_features(agreement, local, expected, metadata, True)
            if metadata.iou_threshold >= 1:
                compare_selection(
                    agreement,
                    local["scores"],
                    expected.cells,
                    metadata.max_features,
                    metadata.score_threshold,
                )
        agreement.check()
        return agreement

    def official(self, signature: Any) -> Agreement:
        """Compares the official signature, with all features there are.

        Args:
            signature: `serving_default` of the SavedModel.

        Raises:
            InputError: they differ.
        """
        metadata = self.metadata
        agreement = Agreement("SavedModel, serving_default", "float32")
        scales = np.float32(metadata.scales)
        inputs = {
            "input_scales": tf.constant(scales),
            "input_max_feature_num": tf.constant(10**6),
            "input_abs_thres": tf.constant(0.0),
            "input_global_scales_ind": tf.range(len(scales)),
        }
        wanted = signature.structured_input_signature[1]
        for image, expected in zip(self._images, self._of_images()):
            values = inputs | {"input_image": tf.constant(image)}
            outputs = signature(**{name: values[name] for name in wanted})
            found = {name: value.numpy() for name, value in outputs.items()}
            if "global_descriptors" in found:
                agreement.descriptors(
                    "global_descriptors",
                    found["global_descriptors"],
                    expected.vectors,
                )
            if "global_descriptor" in found:
                _compare_vector(agreement, found, expected, metadata)
            if "boxes" in found:
                boxes = found["boxes"]
                local = {
                    "locations": (boxes[:, :2] + boxes[:, 2:]) / 2,
                    "descriptors": found["features"],
                    "scales": found["scales"],
                    "scores": found["scores"][:, 0],
                }
                compare_features(agreement, local, expected, metadata, False)
        agreement.check()
        return agreement

    def _of_images(self) -> list[Expected]:
        if not self._expected:
            self._expected = [
                expected_of(self._network, self.metadata, image)
                for image in self._images
            ]
        return self._expected


def _compare_vector(
    agreement: Agreement,
    found: Mapping[str, np.ndarray],
    expected: Expected,
    metadata: ExportMetadata,
) -> None:
    """Compares pooled descriptors; their length is a matter of options."""
    if expected.vectors is None:
        raise InputError(f"{agreement.name} has a global descriptor too many.")
    rows = unit(expected.vectors[list(metadata.global_scales)])
    agreement.descriptors(
        "global_descriptors",
        unit(found["global_descriptor"]),
        unit(rows.sum(axis=0)),
    )
