"""Everything that defines a DELG network."""

import dataclasses

from delg_tf.common.errors import InputError

STRIDE_POSITIONS = ("last_unit", "first_unit_1x1", "first_unit_3x3")
STEMS = ("tf_slim", "symmetric", "official")
POOLINGS = ("gem", "spoc", "mac")
GLOBAL_HEADS = ("arcface", "softmax")
LOCAL_REDUCTIONS = ("autoencoder", "fc", "none")
INPUT_NORMALISATIONS = ("delg", "caffe", "torch", "tf_slim")


@dataclasses.dataclass(frozen=True)
class DelgConfig:
    """A DELG network; stored beside its weights as JSON.

    Attributes:
        backbone: a key of `resnet.ARCHITECTURES`.
        num_classes: classes of the two training heads.
        stride_position: where each stage halves the resolution.
            `last_unit`: TF-Slim and the paper; the conv5 stride lies inside
            conv4. `first_unit_1x1`: Keras-Applications and the official
            code. `first_unit_3x3`: torchvision.
        stem: paddings of the first convolution and pooling (see
            `resnet.py`); None takes the one that belongs to
            `stride_position`.
        input_normalisation: what the first convolution gets (see
            `input_normalisation.py`): "delg", (x - 128) / 128, or what the
            weights that training starts from were trained with.
        local_stride: 16 or 32, pixels between neighbouring local features.
            Weights do not depend on it.
        pooling: of block4: generalised mean, mean or maximum (see
            `pooling.py`).
        gem_power: power of the generalised mean.
        learn_gem_power: whether the power is trained.
        embedding_dim: length of the global descriptor.
        global_head: "arcface": cosines to class centres, times a scale;
            "softmax": a linear classifier with biases.
        sub_centres: centres of a class in the cosine classifier, of which
            the nearest counts.
        partial_fc: share of the classes that each training step classifies
            among, in both heads; 1: all (see `class_sampler.py`).
        scale_init: start value of the softmax scale; None: sqrt of
            `embedding_dim`.
        learn_scale: whether the softmax scale is trained.
        synchronized_bn: whether training normalises by the statistics of all
            replicas together instead of each one's own.
        attention_dim: hidden width of the attention.
        local_reduction: "autoencoder": local descriptors are reduced, and
            classified by their reconstruction; "fc": reduced and classified
            as they are; "none": block3 itself.
        autoencoder_dim: length of a reduced local descriptor.
        stop_gradient: whether the local losses' gradients end at block3.
        bn_momentum: of all batch normalisations.
        bn_epsilon: of all batch normalisations.
    """

    backbone: str = "resnet50"
    num_classes: int = 81313
    stride_position: str = "last_unit"
    stem: str | None = None
    input_normalisation: str = "delg"
    local_stride: int = 16
    pooling: str = "gem"
    gem_power: float = 3.0
    learn_gem_power: bool = False
    embedding_dim: int = 2048
    global_head: str = "arcface"
    sub_centres: int = 1
    partial_fc: float = 1.0
    scale_init: float | None = None
    learn_scale: bool = True
    synchronized_bn: bool = False
    attention_dim: int = 512
    local_reduction: str = "autoencoder"
    autoencoder_dim: int = 128
    stop_gradient: bool = True
    bn_momentum: float = 0.99
    bn_epsilon: float = 1e-3

    def __post_init__(self) -> None:
        """Checks all fields but `backbone`, which `resnet` knows.

        Raises:
            InputError: a field is out of range.
        """
        _one_of("stride_position", self.stride_position, STRIDE_POSITIONS)
        _one_of("stem", self.stem, (None, *STEMS))
        _one_of(
            "input_normalisation",
            self.input_normalisation,
            INPUT_NORMALISATIONS,
        )
        _one_of("local_stride", self.local_stride, (16, 32))
        _one_of("pooling", self.pooling, POOLINGS)
        _one_of("global_head", self.global_head, GLOBAL_HEADS)
        _one_of("local_reduction", self.local_reduction, LOCAL_REDUCTIONS)
        least = {
            "num_classes": 2,
            "sub_centres": 1,
            "gem_power": 1,
            "embedding_dim": 1,
            "attention_dim": 1,
            "autoencoder_dim": 1,
        }
        for name, minimum in least.items():
            _check(self, name, getattr(self, name) >= minimum, f">= {minimum}")
        _check(self, "partial_fc", 0 < self.partial_fc <= 1, "in (0, 1]")
        plain = self.global_head == "arcface" or self.sub_centres == 1
        _check(self, "sub_centres", plain, "1 without arcface")
        scale_ok = self.scale_init is None or self.scale_init > 0
        _check(self, "scale_init", scale_ok, "> 0")
        _check(self, "bn_momentum", 0 <= self.bn_momentum < 1, "in [0, 1)")
        _check(self, "bn_epsilon", self.bn_epsilon > 0, "> 0")

    @property
    def stem_kind(self) -> str:
        """The stem, resolved."""
        if self.stem is not None:
            return self.stem
        slim = self.stride_position == "last_unit"
        return "tf_slim" if slim else "symmetric"

    def to_dict(self) -> dict:
        """Returns the fields as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "DelgConfig":
        """Builds a configuration from `to_dict`'s values.

        Raises:
            InputError: a field is unknown or has a bad value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(
                f"Unknown fields of the model configuration: {unknown}"
            )
        return cls(**values)


def _one_of(name: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise InputError(
            f"`{name}` must be one of {allowed}. Received: {value!r}"
        )


def _check(config: DelgConfig, name: str, right: bool, condition: str) -> None:
    if not right:
        raise InputError(
            f"`{name}` must be {condition}. Received: {getattr(config, name)}"
        )
