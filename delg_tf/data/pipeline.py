"""Input pipelines of training and validation."""

import dataclasses

import tensorflow as tf

from delg_tf.data.augmentation import training_image, validation_image
from delg_tf.data.records import find_record_files, parse_example

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


def count_records(file_pattern: str) -> int:
    """Counts the records of all files; reads them all.

    Raises:
        InputError: no file matches.
    """
    dataset = tf.data.TFRecordDataset(
        find_record_files(file_pattern), num_parallel_reads=_INTERLEAVED_FILES
    )
    zero = tf.constant(0, tf.int64)
    return int(dataset.reduce(zero, lambda count, _: count + 1))


def training_dataset(
    config: PipelineConfig, images_per_epoch: int, first_image: int = 0
) -> tf.data.Dataset:
    """Builds the endless training stream.

    Epoch e is a permutation of the records drawn with the seed and e, and the
    n-th image of the stream is cropped with the seed and n. So the stream can
    start anywhere, as resuming does, without the images before.

    Args:
        config: the pipeline.
        images_per_epoch: number of records.
        first_image: position in the stream to start at.

    Returns:
        Batches `(images [B, size, size, 3] float32, labels [B] int64)`.

    Raises:
        InputError: no file matches.
    """
    files = find_record_files(config.file_pattern)
    epoch, offset = divmod(first_image, images_per_epoch)
    records = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(
        lambda number: _epoch(files, config, number)
    )
    records = records.skip(offset).enumerate(start=first_image)

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

    return _batches(records, decode, config, drop_remainder=True)


def validation_dataset(config: PipelineConfig) -> tf.data.Dataset:
    """Builds one pass over the records, in the files' order.

    Args:
        config: the pipeline; whole images, whatever `augment` says.

    Returns:
        Batches as of `training_dataset`; the last one may be smaller.

    Raises:
        InputError: no file matches.
    """
    files = find_record_files(config.file_pattern)
    records = tf.data.TFRecordDataset(files)

    def decode(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded, label = _read(record, config.num_classes)
        return validation_image(encoded, config.image_size), label

    return _batches(records, decode, config, drop_remainder=False)


def _epoch(
    files: list[str], config: PipelineConfig, number: tf.Tensor
) -> tf.data.Dataset:
    """All records once, in an order that depends on seed and epoch."""
    # Seeds the graph of this traced function only. Without it the order would
    # depend on the process's global seed too.
    tf.random.set_seed(1)
    # Distinct for all (seed, epoch) that occur; tf.data mixes the bits.
    seed = tf.constant(config.seed, tf.int64) * 1_000_003 + number
    dataset = tf.data.Dataset.from_tensor_slices(files)
    dataset = dataset.shuffle(len(files), seed, reshuffle_each_iteration=False)
    dataset = dataset.interleave(
        tf.data.TFRecordDataset,
        cycle_length=min(_INTERLEAVED_FILES, len(files)),
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
    decode: object,
    config: PipelineConfig,
    drop_remainder: bool,
) -> tf.data.Dataset:
    dataset = records.map(
        decode,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=config.deterministic,
    )
    dataset = dataset.batch(config.batch_size, drop_remainder=drop_remainder)
    return dataset.prefetch(tf.data.AUTOTUNE)
