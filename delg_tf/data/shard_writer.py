"""Writes one record file.

Imports TensorFlow; `shard_job` does not, so that bad input is reported at once.
"""

import dataclasses
import os

from delg_tf.common import files
from delg_tf.data import images, records, shard_job
from delg_tf.data.decoder import UnreadableImageError
from delg_tf.data.shard_job import ShardJob, ShardResult
from delg_tf.parallel.base import Advance


def build_shard(job: ShardJob, advance: Advance) -> ShardResult:
    """Writes a record file; corrupt images are left out and listed.

    Nothing is done if the file is there; see `parallel.base.ShardRunner.run`.

    Args:
        job: what to write.
        advance: called after each image.
    """
    known = shard_job.finished(job)
    if known:
        advance(len(job.images))
        return known
    root, labels = job.images.root, job.labels
    skipped, converted = [], 0
    with records.atomic_record_writer(job.path) as writer:
        for i, path in enumerate(job.images.paths.tolist()):
            name = job.images.ids[i]
            try:
                image = images.read_as_jpeg(
                    root / os.fsdecode(path), job.max_image_pixels
                )
            except UnreadableImageError as error:
                skipped.append(
                    [files.readable(name), files.readable(path), str(error)]
                )
            else:
                converted += image.converted
                label = None if labels is None else int(labels[i])
                writer.write(
                    records.encode_example(
                        image.data, name, image.height, image.width, label
                    )
                )
            advance(1)
    result = ShardResult(
        source_hash=job.source_hash(),
        bytes=job.path.stat().st_size,
        images=len(job.images) - len(skipped),
        converted=converted,
        skipped=skipped,
    )
    # Written after the file itself: without it, the file counts as unknown.
    files.write_json(shard_job.state_path(job.path), dataclasses.asdict(result))
    return result
