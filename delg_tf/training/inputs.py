"""The records that a run reads."""

import dataclasses

import tensorflow as tf

from delg_tf.data.pipeline import (
    PipelineConfig,
    check_records,
    training_dataset,
)
from delg_tf.data.record_check import RecordIndex
from delg_tf.training.config import TrainingConfig

# Labels of held-out classes are only compared with each other.
_ANY_CLASS = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Records:
    """Records that have been looked over.

    Attributes:
        pipeline: how they are read.
        index: what of them can be read.
    """

    pipeline: PipelineConfig
    index: RecordIndex

    @classmethod
    def of(cls, pipeline: PipelineConfig) -> "Records":
        """Looks them over."""
        return cls(pipeline, check_records(pipeline))


class Inputs:
    """Training, validation and retrieval records.

    All are looked over at once, before anything else takes time.

    Args:
        config: the run.

    Attributes:
        train: training records.
        validation: None without.
        retrieval: held-out images, of any classes; None without.

    Raises:
        InputError: there are no records, or too many bad ones.
    """

    def __init__(self, config: TrainingConfig):
        self._batch_size = config.batch_size
        self.train = Records.of(_pipeline(config, config.train_file_pattern))
        self.validation = self.retrieval = None
        if config.validation_file_pattern is not None:
            self.validation = Records.of(
                _unaltered(_pipeline(config, config.validation_file_pattern))
            )
        if config.retrieval_file_pattern is not None:
            pipeline = _pipeline(config, config.retrieval_file_pattern)
            self.retrieval = Records.of(
                dataclasses.replace(
                    _unaltered(pipeline), num_classes=_ANY_CLASS
                )
            )

    @property
    def images_per_epoch(self) -> int:
        """Training records that can be read."""
        return self.train.index.images

    def training(
        self, step: int, part: int = 0, parts: int = 1, service: bool = True
    ) -> tf.data.Dataset:
        """Training batches from a step on.

        Args:
            step: steps that were made before.
            part: number of this process among those that train together.
            parts: how many they are.
            service: whether a tf.data service may be used.
        """
        pipeline = self.train.pipeline
        if not service:
            pipeline = dataclasses.replace(pipeline, service=None)
        return training_dataset(
            pipeline,
            self.images_per_epoch,
            first_image=step * self._batch_size,
            index=self.train.index,
            part=part,
            parts=parts,
        )


def _pipeline(config: TrainingConfig, pattern: str) -> PipelineConfig:
    return PipelineConfig(
        file_pattern=pattern,
        num_classes=config.model.num_classes,
        image_size=config.image_size,
        batch_size=config.batch_size,
        augment=config.augment,
        crop_min_area=config.crop_min_area,
        shuffle_buffer=config.shuffle_buffer,
        seed=config.seed,
        deterministic=config.deterministic,
        class_balance=config.class_balance,
        max_bad_records=config.max_bad_records,
        cache=config.cache,
        service=config.data_service,
        parallelism=config.decode_threads,
    )


def _unaltered(pipeline: PipelineConfig) -> PipelineConfig:
    """Every image once and whole."""
    return dataclasses.replace(
        pipeline, augment=False, class_balance=0.0, service=None
    )
