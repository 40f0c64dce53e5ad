"""What a file of weights is, and its arrays under this package's names."""

import dataclasses

import numpy as np

FORMATS = ("keras", "tf_slim", "torchvision", "official", "delg_tf")
# In the order in which an image passes through the network.
PARTS = (
    "backbone",
    "whitening",
    "attention",
    "local_reduction",
    "global_head",
    "local_head",
)


@dataclasses.dataclass(frozen=True)
class WeightsSource:
    """Where weights come from, and the network that they belong to.

    Attributes:
        path: the file, the checkpoint's prefix or the folder.
        format: one of `FORMATS`.
        backbone: a key of `resnet.ARCHITECTURES`; None: the units counted
            in the file are those of no known network.
        input_normalisation: see `DelgConfig`.
        stride_position: see `DelgConfig`.
        stem: see `DelgConfig`.
        bn_epsilon: that the batch normalisations were trained with.
        parts: those of `PARTS` that the file has.
        sizes: fields of `DelgConfig` that the shapes of its arrays tell:
            `num_classes`, `embedding_dim`, `attention_dim`,
            `autoencoder_dim`.
    """

    path: str
    format: str
    backbone: str | None
    input_normalisation: str
    stride_position: str
    stem: str
    bn_epsilon: float
    parts: tuple[str, ...] = ("backbone",)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)

    def config_fields(self) -> dict[str, str]:
        """Fields of `DelgConfig` that the network must have for the weights.

        `bn_epsilon` is not among them: loading makes up for another one.
        """
        names = ("backbone", "input_normalisation", "stride_position", "stem")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Arrays of a file of weights.

    Attributes:
        source: what they are.
        arrays: float32 arrays by this package's names: `<layer>/<variable>`
            for the backbone, e.g. `block1_unit1_2_conv/kernel`, and
            `<part>/...` for the other parts. Kernels are
            `[height, width, input, output]`; no convolution before a batch
            normalisation has a bias. Classifiers have one row a class.
        left_out: names of arrays in the file that no DELG network has a use
            for, and why.
    """

    source: WeightsSource
    arrays: dict[str, np.ndarray]
    left_out: dict[str, str]
