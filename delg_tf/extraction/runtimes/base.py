"""What extraction needs of an exported model, whatever runs it.

Names, shapes and types are those of the official exports. Inputs:

- `input_image`: uint8 `[H, W, 3]`;
- `input_scales`: float32 `[S]`, the image pyramid;
- `input_abs_thres`: float32 `[]`, least attention score of a local feature;
- `input_max_feature_num`: int32 `[]`, how many local features at most;
- `input_global_scales_ind`: int32 `[G]`, indices into the scales.

Outputs, as many of them as the model has:

- `boxes`: float32 `[N, 4]`, (ymin, xmin, ymax, xmax) in pixels of the image;
- `features`: float32 `[N, D]`, raw local descriptors by falling score;
- `scales`: float32 `[N]`, 1 / scale of the feature's pyramid level;
- `scores`: float32 `[N, 1]` (of some old models `[N]`);
- `global_descriptors`: float32 `[G, E]`, raw.
"""

import abc
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from delg_tf.common.errors import InputError
from delg_tf.common.files import PathLike

LOCAL_OUTPUTS = ("boxes", "features", "scales", "scores")
GLOBAL_OUTPUTS = ("global_descriptors",)

_ALWAYS = ("input_image", "input_scales")
_LOCAL_INPUTS = ("input_abs_thres", "input_max_feature_num")
_GLOBAL_INPUTS = ("input_global_scales_ind",)
INPUTS = (*_ALWAYS, *_LOCAL_INPUTS, *_GLOBAL_INPUTS)


class FeatureModel(abc.ABC):
    """A loaded model that is asked for certain outputs.

    Attributes:
        output_names: those outputs, by their official names.
        runtime: what runs it, and in which precision.
        bytes_per_pixel: memory that it takes for a pixel of the pyramid's
            largest level, about.
    """

    runtime: tuple[str, str] = ("tensorflow", "float32")
    # Measured with R50 and R101: up to 260. Their largest maps are the same.
    bytes_per_pixel: int = 280

    def __init__(self, output_names: Sequence[str]):
        self.output_names = tuple(output_names)

    @abc.abstractmethod
    def depth(self, output: str) -> int | None:
        """Length of the rows of an output; None if it shows only in a run."""

    @abc.abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model on one image.

        Args:
            inputs: all of `INPUTS`; those that the model does not have are
                passed over.

        Returns:
            The outputs of `output_names`.
        """

    def run_batch(
        self, images: Sequence[np.ndarray], inputs: Mapping[str, np.ndarray]
    ) -> list[dict[str, np.ndarray]]:
        """Runs the model on images of one size.

        Args:
            images: uint8 `[H, W, 3]` each.
            inputs: all of `INPUTS` but the image.

        Returns:
            The outputs of each, as `run` gives them.
        """
        return [self.run({**inputs, "input_image": x}) for x in images]


def needed_inputs(outputs: Collection[str]) -> tuple[str, ...]:
    """Returns the inputs that a model must have to give these outputs.

    A model without one of them would ignore a part of the configuration.
    """
    needed = _ALWAYS
    if set(outputs) & set(LOCAL_OUTPUTS):
        needed += _LOCAL_INPUTS
    if set(outputs) & set(GLOBAL_OUTPUTS):
        needed += _GLOBAL_INPUTS
    return needed


def require_names(
    path: PathLike,
    role: str,
    wanted: Sequence[str],
    given: Collection[str],
    advice: str,
) -> None:
    """Checks that a model has what it is asked for.

    Args:
        path: of the model, for the message.
        role: what the names are to the user: "input", "output", "tensor".
        wanted: the names that must be there.
        given: the names that are there.
        advice: what to do otherwise, a sentence.

    Raises:
        InputError: a name is missing.
    """
    missing = [name for name in wanted if name not in given]
    if missing:
        only = f", only {_listed(sorted(given))}" if given else ""
        raise InputError(
            f"The model {path} has no {role} {_listed(missing)}{only}. {advice}"
        )


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
