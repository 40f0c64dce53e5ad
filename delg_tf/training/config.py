"""Everything that defines a training run."""

import dataclasses

from delg_tf.common.errors import InputError
from delg_tf.models.config import DelgConfig
from delg_tf.training.losses.total import LossConfig

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    Attributes:
        model: the network.
        loss: weights of the losses.
        logdir: where checkpoints, weights and summaries go.
        train_file_pattern: glob of the training records.
        validation_file_pattern: glob of the validation records, or None.
        images_per_epoch: training records; None: from `dataset_info.json`,
            else counted.
        image_size: side of the images in pixels.
        batch_size: images a step, over all replicas.
        max_iters: steps.
        initial_lr: learning rate that the linear decay starts from.
        warmup_steps: steps of linear warm-up.
        momentum: of SGD.
        clip_norm: largest global norm of the summed gradient; 0: no limit.
        augment: random crops.
        crop_min_area: smallest share of an image that a crop covers.
        shuffle_buffer: records that the shuffle draws from.
        deterministic: fixed order of the input (see `PipelineConfig`).
        seed: of weights, order and crops.
        precision: a key of `PRECISIONS`.
        replicas: devices; None: all GPUs, or the CPU. More than one without
            GPUs needs as many logical CPUs.
        report_interval: steps between summaries.
        eval_interval: steps between validations.
        save_interval: steps between checkpoints.
        eval_batches: batches of a validation, at most.
        keep_checkpoints: latest checkpoints kept.
        keep_every_hours: one checkpoint each so many hours is kept for good.
        stop_at: ends this run early, after that step, as an interruption
            would; the schedule still goes by `max_iters`. None: no.
    """

    model: DelgConfig
    logdir: str
    train_file_pattern: str
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    validation_file_pattern: str | None = None
    images_per_epoch: int | None = None
    image_size: int = 321
    batch_size: int = 32
    max_iters: int = 500000
    initial_lr: float = 0.01
    warmup_steps: int = 0
    momentum: float = 0.9
    clip_norm: float = 10.0
    augment: bool = True
    crop_min_area: float = 0.08
    shuffle_buffer: int = 10000
    deterministic: bool = True
    seed: int = 0
    precision: str = "float32"
    replicas: int | None = None
    report_interval: int = 100
    eval_interval: int = 1000
    save_interval: int = 1000
    eval_batches: int = 1000
    keep_checkpoints: int = 10
    keep_every_hours: float = 3.0
    stop_at: int | None = None

    def __post_init__(self) -> None:
        """Checks ranges.

        Raises:
            InputError: a field is out of range.
        """
        least = {
            "image_size": 32,
            "batch_size": 1,
            "max_iters": 0,
            "warmup_steps": 0,
            "shuffle_buffer": 1,
            "report_interval": 1,
            "eval_interval": 1,
            "save_interval": 1,
            "eval_batches": 1,
            "keep_checkpoints": 1,
            "clip_norm": 0,
            "initial_lr": 0,
            "momentum": 0,
            "seed": 0,
            "replicas": 1,
            "images_per_epoch": 1,
            "stop_at": 1,
        }
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise InputError(
                    f"`{name}` must be at least {minimum}. Received: {value}"
                )
        for name, end in {"momentum": 1, "seed": 2**32}.items():
            if getattr(self, name) >= end:
                raise InputError(
                    f"`{name}` must be less than {end}. Received: "
                    f"{getattr(self, name)}"
                )
        if not 0 < self.crop_min_area <= 1:
            raise InputError(
                "`crop_min_area` must be in (0, 1]. Received: "
                f"{self.crop_min_area}"
            )
        if self.precision not in PRECISIONS:
            raise InputError(
                f"`precision` must be one of {sorted(PRECISIONS)}. Received: "
                f"{self.precision!r}"
            )
