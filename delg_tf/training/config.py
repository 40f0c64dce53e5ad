"""Everything that defines a training run."""

import dataclasses

from delg_tf.common.errors import InputError
from delg_tf.models.config import DelgConfig
from delg_tf.training.losses.total import LossConfig
from delg_tf.training.optimizer_config import OptimizerConfig

PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    Attributes:
        model: the network.
        loss: weights of the losses.
        optimizer: optimiser, learning rates, frozen parts.
        logdir: where checkpoints, weights and summaries go.
        train_file_pattern: glob of the training records.
        validation_file_pattern: glob of the validation records, or None.
        image_size: side of the images in pixels.
        batch_size: images a step, over all replicas.
        max_iters: steps.
        augment: random crops.
        crop_min_area: smallest share of an image that a crop covers.
        shuffle_buffer: records that the shuffle draws from.
        deterministic: fixed order of the input (see `PipelineConfig`, as for
            the next five).
        class_balance: 0: classes as often as the data has them; 1: equally.
        max_bad_records: unreadable records that are left out at most.
        cache: of the record files.
        data_service: address of a tf.data service.
        decode_threads: images decoded at a time; 0: as many as it takes.
        seed: of weights, order and crops.
        precision: a key of `PRECISIONS`; the losses, the poolings and the
            weights are float32 always.
        jit_compile: compile forward and backward pass by XLA (slower on
            CPUs).
        max_bad_steps: so many steps in a row may be skipped because the loss
            or the gradient is not finite; one more ends the run.
        distribution: a name of `devices.DISTRIBUTIONS`.
        replicas: devices; None: all GPUs, or the CPU. More than one without
            GPUs needs as many logical CPUs.
        init_checkpoint: pre-trained weights of another program that a new
            run starts from (see `delg_tf.weights`).
        init_format: of them.
        init_from: finished training or export whose weights a new run starts
            from (see `initialisation`).
        report_interval: steps between summaries.
        eval_interval: steps between validations.
        save_interval: steps between checkpoints.
        eval_batches: batches of a validation, at most.
        retrieval_file_pattern: glob of records of held-out images, of classes
            that may be others than those of training, for the retrieval
            score; None: no such score.
        retrieval_interval: steps between two of them; the best network by it
            is kept in `<logdir>/best`.
        retrieval_images: images of it, at most.
        projector: whether the best network's descriptors of these images are
            written for TensorBoard's embedding projector.
        profile_steps: first and last step of a profile; None: no profile.
        keep_checkpoints: latest checkpoints kept.
        keep_every_hours: one checkpoint each so many hours is kept for good.
        stop_at: ends this run early, after that step, as an interruption
            would; the schedule still goes by `max_iters`. None: no.
    """

    model: DelgConfig
    logdir: str
    train_file_pattern: str
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=OptimizerConfig
    )
    validation_file_pattern: str | None = None
    image_size: int = 321
    batch_size: int = 32
    max_iters: int = 500000
    augment: bool = True
    crop_min_area: float = 0.08
    shuffle_buffer: int = 10000
    deterministic: bool = True
    class_balance: float = 0.0
    max_bad_records: int = 0
    cache: str | None = None
    data_service: str | None = None
    decode_threads: int = 0
    seed: int = 0
    precision: str = "float32"
    jit_compile: bool = False
    max_bad_steps: int = 20
    distribution: str = "mirrored"
    replicas: int | None = None
    init_checkpoint: str | None = None
    init_format: str = "auto"
    init_from: str | None = None
    report_interval: int = 100
    eval_interval: int = 1000
    save_interval: int = 1000
    eval_batches: int = 1000
    retrieval_file_pattern: str | None = None
    retrieval_interval: int = 1000
    retrieval_images: int = 1000
    projector: bool = True
    profile_steps: tuple[int, int] | None = None
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
            "shuffle_buffer": 1,
            "report_interval": 1,
            "eval_interval": 1,
            "save_interval": 1,
            "eval_batches": 1,
            "retrieval_interval": 1,
            "retrieval_images": 2,
            "keep_checkpoints": 1,
            "seed": 0,
            "max_bad_steps": 0,
            "replicas": 1,
            "stop_at": 1,
        }
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise InputError(
                    f"`{name}` must be at least {minimum}. Received: {value}"
                )
        if self.init_checkpoint and self.init_from:
            raise InputError(
                "`init_checkpoint` and `init_from` exclude each other: give "
                "one source of weights."
            )
        if self.seed >= 2**32:
            raise InputError(
                f"`seed` must be less than {2**32}. Received: {self.seed}"
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
