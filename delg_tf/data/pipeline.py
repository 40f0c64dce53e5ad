"""Input pipelines of training and validation."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from delg_tf.common.errors import InputError
from delg_tf.data import data_service
from delg_tf.data.augmentation import training_image, validation_image
from delg_tf.data.class_balance import (
    VisitPlan,
    plan_visits,
    visits_in_graph,
)
from delg_tf.data.record_check import RecordIndex, check_record_files
from delg_tf.data.record_source import MEMORY, RecordSource
from delg_tf.data.records import parse_example

_INTERLEAVED_FILES = 8


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """How records become batches.

    Attributes:
        file_pattern: glob of TFRecord files.
        num_classes: labels must be less.
        image_size: side of the images in pixels.
        batch_size: images a batch, over all replicas.
        augment: random crops; otherwise the whole image.
        crop_min_area: smallest share of the image that a crop covers.
        shuffle_buffer: records that the shuffle draws from.
        seed: of the order and of the crops.
        deterministic: whether the order is the same in every run with this
            seed; otherwise parallel readers deliver as they come.
        class_balance: 0: classes come as often as the data has them; 1: all
            equally often; between: see `class_balance`. Training only.
        max_bad_records: so many records may be unreadable; they are left out.
        cache: None, "memory" or a folder for copies of the record files; see
            `RecordSource`. The stream is the same.
        service: None, or `grpc://host:port` of a tf.data service's dispatcher,
            whose workers read and decode. Training only; see `data_service`.
        parallelism: images decoded at a time; 0: as many as it takes.
    """

    file_pattern: str
    num_classes: int
    image_size: int
    batch_size: int
    augment: bool = True
    crop_min_area: float = 0.08
    shuffle_buffer: int = 10000
    seed: int = 0
    deterministic: bool = True
    class_balance: float = 0.0
    max_bad_records: int = 0
    cache: str | None = None
    service: str | None = None
    parallelism: int = 0

    def __post_init__(self) -> None:
        """Checks ranges.

        Raises:
            InputError: a field is out of range.
        """
        if not 0 <= self.class_balance <= 1:
            raise InputError(
                "`class_balance` must be in [0, 1]. Received: "
                f"{self.class_balance}"
            )
        for name in ("max_bad_records", "parallelism"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"`{name}` must be at least 0. Received: "
                    f"{getattr(self, name)}"
                )
        if self.service and self.cache == MEMORY:
            raise InputError(
                "`cache` in memory is of no use with `service`, whose workers "
                "read the records. Give a folder that they all see, or none."
            )


def check_records(config: PipelineConfig) -> RecordIndex:
    """Looks over a pipeline's records; call it before the first step.

    Returns:
        What `training_dataset` and `validation_dataset` take as `index`.

    Raises:
        InputError: see `check_record_files`.
    """
    return check_record_files(
        config.file_pattern,
        config.max_bad_records,
        config.num_classes,
        labels=config.class_balance > 0,
    )


def training_dataset(
    config: PipelineConfig,
    images_per_epoch: int,
    first_image: int = 0,
    index: RecordIndex | None = None,
    part: int = 0,
    parts: int = 1,
) -> tf.data.Dataset:
    """Builds the endless training stream.

    Epoch e is a permutation of the records drawn with the seed and e, and the
    n-th image of the stream is cropped with the seed and n. So the stream can
    start anywhere, as resuming does, without the images before. With
    `config.class_balance` an epoch has some records several times and others
    not at all; see `class_balance`.

    Args:
        config: the pipeline.
        images_per_epoch: number of records; with an index, that counts.
        first_image: position in the stream to start at.
        index: of `check_records`; None: files are taken to be sound, unless
            the configuration needs one.
        part: number of this process among those that train together.
        parts: how many they are. Each gets its slice of every batch and
            decodes only that.

    Returns:
        Batches `(images [B / parts, size, size, 3] float32, labels
        [B / parts] int64)`.

    Raises:
        InputError: no file matches, or records are damaged; or there is no
            service at `config.service`, or it is asked for in several parts.
    """
    if index is None and (config.class_balance or config.max_bad_records):
        index = check_records(config)
    source = RecordSource(config.file_pattern, index, config.cache)
    plan = None
    if index is not None:
        images_per_epoch = index.images
    if config.class_balance:
        if index.labels is None:
            raise ValueError("`index` must have labels. Received: None.")
        plan = plan_visits(index.labels, config.class_balance, config.seed)
        first_epoch, offset = plan.locate(first_image)
    else:
        first_epoch, offset = divmod(first_image, images_per_epoch)
    read = _reader(source, plan)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        done = tf.where(number == first_epoch, tf.constant(offset, tf.int64), 0)
        return _epoch(source.segments, read, config, number).skip(done)

    records = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch)
    records = records.enumerate(start=first_image)

    decode = _training_decoder(config)
    dataset = _batches(records, decode, config, part, parts, True)
    if config.service:
        dataset = data_service.distribute(dataset, config.service, parts)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _training_decoder(config: PipelineConfig) -> Callable:
    """Returns what makes (position, record) an (image, label)."""

    def decode(
        position: tf.Tensor, record: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        encoded, label = _read(record, config.num_classes)
        if not config.augment:
            return validation_image(encoded, config.image_size), label
        seed = tf.stack([tf.constant(config.seed, tf.int64), position])
        image = training_image(
            encoded, config.image_size, seed, config.crop_min_area
        )
        return image, label

    return decode


def validation_dataset(
    config: PipelineConfig,
    index: RecordIndex | None = None,
    part: int = 0,
    parts: int = 1,
) -> tf.data.Dataset:
    """Builds one pass over the records, in the files' order.

    Args:
        config: the pipeline; whole images, whatever `augment` says.
        index: as of `training_dataset`.
        part: likewise.
        parts: likewise.

    Returns:
        Batches as of `training_dataset`; the last one may be smaller, and
        later parts may lack it.

    Raises:
        InputError: no file matches, or records are damaged.
    """
    if index is None and config.max_bad_records:
        index = check_records(config)
    source = RecordSource(config.file_pattern, index, config.cache)
    records = tf.data.Dataset.range(source.segments).flat_map(source.read)

    def decode(
        position: tf.Tensor, record: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        del position  # For random crops only.
        encoded, label = _read(record, config.num_classes)
        return validation_image(encoded, config.image_size), label

    dataset = _batches(records.enumerate(), decode, config, part, parts, False)
    return dataset.prefetch(tf.data.AUTOTUNE)


def image_ids(config: PipelineConfig, index: RecordIndex) -> tf.data.Dataset:
    """Reads the images' ids, in the order of `validation_dataset`.

    Args:
        config: the pipeline.
        index: of `check_records`.

    Returns:
        String scalars; empty where a record has no id.
    """
    source = RecordSource(config.file_pattern, index, config.cache)
    records = tf.data.Dataset.range(source.segments).flat_map(source.read)
    return records.map(lambda record: parse_example(record)["image/id"])


def _reader(
    source: RecordSource, plan: VisitPlan | None
) -> Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]:
    """Returns what reads a segment in an epoch: (segment, epoch) to records."""
    if plan is None:
        return lambda segment, epoch: source.read(segment)
    # Tensors made here are passed to the graph; arrays would become a part.
    columns = tf.constant(plan.weights), tf.constant(plan.phases)
    firsts = tf.constant(source.firsts)

    def read(segment: tf.Tensor, epoch: tf.Tensor) -> tf.data.Dataset:
        dataset = source.read(segment).enumerate()
        dataset = dataset.map(
            lambda position, record: (
                visits_in_graph(*columns, epoch, firsts[segment] + position),
                record,
            )
        )
        return dataset.filter(lambda visits, _: visits > 0).flat_map(
            lambda visits, record: tf.data.Dataset.from_tensors(record).repeat(
                visits
            )
        )

    return read


def _epoch(
    segments: int,
    read: Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset],
    config: PipelineConfig,
    number: tf.Tensor,
) -> tf.data.Dataset:
    """The records of an epoch, in an order that depends on seed and epoch."""
    # Seeds the graph of this traced function only. Without it the order would
    # depend on the process's global seed too.
    tf.random.set_seed(1)
    # Distinct for all (seed, epoch) that occur; tf.data mixes the bits.
    seed = tf.constant(config.seed, tf.int64) * 1_000_003 + number
    dataset = tf.data.Dataset.range(segments)
    dataset = dataset.shuffle(segments, seed, reshuffle_each_iteration=False)
    dataset = dataset.interleave(
        lambda segment: read(segment, number),
        cycle_length=min(_INTERLEAVED_FILES, segments),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=config.deterministic,
    )
    return dataset.shuffle(
        config.shuffle_buffer, seed, reshuffle_each_iteration=False
    )


def _read(record: tf.Tensor, num_classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    example = parse_example(record)
    label = example["image/class/label"]
    checks = [
        tf.debugging.assert_non_negative(
            label, message="A record has a negative label."
        ),
        tf.debugging.assert_less(
            label,
            tf.constant(num_classes, tf.int64),
            message=(
                "A record's label is not below the number of classes, "
                f"{num_classes}."
            ),
        ),
    ]
    with tf.control_dependencies(checks):
        return example["image/encoded"], tf.identity(label)


def _batches(
    records: tf.data.Dataset,
    decode: Callable,
    config: PipelineConfig,
    part: int,
    parts: int,
    drop_remainder: bool,
) -> tf.data.Dataset:
    """Decodes and batches numbered records, or those of one part of a batch."""
    size, rest = divmod(config.batch_size, parts)
    if rest or not 0 <= part < parts:
        raise ValueError(
            "`part` must be below `parts`, which divides the batch size "
            f"{config.batch_size}. Received: {part}, {parts}."
        )
    if parts > 1:
        records = records.filter(
            lambda position, _: position % config.batch_size // size == part
        )
    dataset = records.map(
        decode,
        num_parallel_calls=config.parallelism or tf.data.AUTOTUNE,
        deterministic=config.deterministic,
    )
    return dataset.batch(size, drop_remainder=drop_remainder)
