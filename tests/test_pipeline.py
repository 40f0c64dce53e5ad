"""Input pipelines: order, balance, damage, caches, parts, service."""

import collections
import dataclasses
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tf_keras as keras
from record_files import encoded, photo

from delg_tf.common.errors import InputError
from delg_tf.data import class_balance, pipeline
from delg_tf.data.augmentation import training_image, validation_image
from delg_tf.data.records import atomic_record_writer, encode_example

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Records in the files, an empty file among them.
SHARDS = [7, 0, 5, 8]
RECORDS = sum(SHARDS)
JPEG = encoded(photo(), "JPEG")


def _write_shards(folder, shards, labels):
    labels = iter(labels)
    for shard, count in enumerate(shards):
        name = f"train-{shard:05d}-of-{len(shards):05d}"
        with atomic_record_writer(folder / name) as writer:
            for _ in range(count):
                example = encode_example(JPEG, b"x", 24, 40, next(labels))
                writer.write(example)
    return folder


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Records whose labels are their numbers."""
    folder = tmp_path_factory.mktemp("numbered")
    return _write_shards(folder, SHARDS, range(RECORDS))


def _config(folder, **changes):
    values = {
        "file_pattern": str(folder / "train-*"),
        "num_classes": RECORDS,
        "image_size": 16,
        "batch_size": 5,
        "shuffle_buffer": 6,
        "seed": 5,
    }
    return pipeline.PipelineConfig(**values | changes)


def _labels(dataset, batches):
    parts = [labels for _, labels in dataset.take(batches).as_numpy_iterator()]
    return np.concatenate(parts).tolist()


# The labels of the first three epochs, by the pipeline as it was before
# anything could be set but seed and buffer (commit 3f7b8da):
# _labels(training_dataset(_config(numbered), RECORDS), 12)
GOLDEN = [
    *(8, 14, 0, 1, 7, 15, 9, 3, 12, 2, 13, 11, 5, 18, 17, 4, 16, 6, 10, 19),
    *(8, 12, 9, 7, 0, 1, 14, 4, 11, 2, 13, 15, 17, 5, 19, 6, 16, 10, 3, 18),
    *(13, 9, 1, 2, 8, 10, 0, 12, 11, 4, 15, 7, 16, 17, 18, 3, 14, 6, 19, 5),
]


@pytest.mark.parametrize("cache", [None, "memory", "folder"])
def test_order_has_not_changed(numbered, tmp_path, cache):
    if cache == "folder":
        cache = str(tmp_path / "cache")
    config = _config(numbered, cache=cache)
    stream = pipeline.training_dataset(config, RECORDS)
    assert _labels(stream, 12) == GOLDEN
    index = pipeline.check_records(config)
    stream = pipeline.training_dataset(config, RECORDS, 35, index)
    assert _labels(stream, 5) == GOLDEN[35:]


def _assert_starts_anywhere(stream, firsts):
    """`stream(first)` are batches of 5 images, compared up to the 40th."""
    whole = list(stream(0).take(40).as_numpy_iterator())
    for first in firsts:
        rest = list(stream(first).take(40 - first // 5).as_numpy_iterator())
        for ours, expected in zip(rest, whole[first // 5 :], strict=True):
            np.testing.assert_array_equal(ours[0], expected[0])
            np.testing.assert_array_equal(ours[1], expected[1])


def test_stream_starts_anywhere(numbered):
    config = _config(numbered)
    _assert_starts_anywhere(
        lambda first: pipeline.training_dataset(config, RECORDS, first),
        (5, 20, 35, 60),
    )


def test_another_seed_gives_other_permutations(numbered):
    config = _config(numbered, seed=6)
    labels = _labels(pipeline.training_dataset(config, RECORDS), 12)
    epochs = [labels[i : i + RECORDS] for i in range(0, 60, RECORDS)]
    for epoch in (*epochs, GOLDEN[:20]):
        assert sorted(epoch) == list(range(RECORDS))
    assert len({tuple(epoch) for epoch in (*epochs, GOLDEN[:20])}) == 4


def test_order_does_not_depend_on_the_global_seed(numbered):
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        stream = pipeline.training_dataset(_config(numbered), RECORDS)
        assert _labels(stream, 4) == GOLDEN[:20]


def test_each_visit_to_an_image_is_cropped_anew(numbered):
    # All records have the same image.
    stream = pipeline.training_dataset(_config(numbered), RECORDS)
    crops = [image for images, _ in stream.take(12) for image in images]
    assert len({crop.numpy().tobytes() for crop in crops}) == 60


def test_validation_is_one_pass_in_order(numbered):
    config = _config(numbered, batch_size=6)
    batches = list(pipeline.validation_dataset(config).as_numpy_iterator())
    assert [len(labels) for _, labels in batches] == [6, 6, 6, 2]
    labels = np.concatenate([labels for _, labels in batches])
    assert labels.tolist() == list(range(RECORDS))


def test_crops_follow_from_seed_and_position(numbered):
    stream = pipeline.training_dataset(_config(numbered), RECORDS, 20)
    ((images, _),) = stream.take(1)
    for i, image in enumerate(images):
        seed = tf.constant([5, 20 + i], tf.int64)
        expected = training_image(tf.constant(JPEG), 16, seed)
        np.testing.assert_array_equal(image, expected)


# --- images -----------------------------------------------------------------


def test_validation_image_is_the_whole_photo():
    data = encoded(photo(40, 40), "JPEG")
    expected = np.asarray(PIL.Image.open(io.BytesIO(data)), np.float64)
    image = validation_image(tf.constant(data), 40).numpy()
    # Extraction decodes with Pillow: both must see the same pixels.
    np.testing.assert_allclose(image, (expected - 128) / 128, atol=1.01 / 128)


def test_crops_are_windows_of_the_photo():
    # Red tells the column, green the row, so a crop tells its own window.
    size = 128
    ramp = np.linspace(0, 255, size)
    pixels = np.zeros((size, size, 3))
    pixels[..., 0], pixels[..., 1] = ramp[None, :], ramp[:, None]
    picture = tf.constant(
        encoded(pixels.astype(np.uint8), "JPEG", quality=100, subsampling=0)
    )
    shares, aspects = [], []
    for position in range(60):
        crop = training_image(picture, 32, tf.constant([0, position], tf.int64))
        crop = crop.numpy() * 128 + 128
        # The outer cells' centres are half a cell inside the window.
        width = (crop[:, -1, 0] - crop[:, 0, 0]).mean() * 32 / 31 / 255
        height = (crop[-1, :, 1] - crop[0, :, 1]).mean() * 32 / 31 / 255
        shares.append(width * height)
        aspects.append(width / height)
    assert 0.06 < min(shares) < 0.3 < 0.7 < max(shares) <= 1.02
    assert 0.7 < min(aspects) < 0.85 < 1.2 < max(aspects) < 1.4
    whole = [
        training_image(picture, 32, tf.constant([0, n], tf.int64), 0.9).numpy()
        for n in range(5)
    ]
    spans = [(w[:, -1, 0] - w[:, 0, 0]).mean() * 128 / 255 for w in whole]
    assert min(spans) > 0.85


# --- parts ------------------------------------------------------------------


def test_parts_are_slices_of_the_batches(numbered):
    config = _config(numbered, batch_size=6)
    whole = pipeline.training_dataset(config, RECORDS, 12)
    streams = [
        pipeline.training_dataset(config, RECORDS, 12, part=part, parts=3)
        for part in range(3)
    ]
    for batch, *slices in zip(whole.take(8), *streams):
        for column in range(2):
            together = np.concatenate([part[column] for part in slices])
            np.testing.assert_array_equal(together, batch[column])
    # One pass: the last batch, of two images, is the first part's.
    seen = [
        [
            labels.tolist()
            for _, labels in pipeline.validation_dataset(
                config, part=part, parts=3
            ).as_numpy_iterator()
        ]
        for part in range(3)
    ]
    assert seen[0] == [[0, 1], [6, 7], [12, 13], [18, 19]]
    assert seen[2] == [[4, 5], [10, 11], [16, 17]]


def test_parts_must_fit(numbered):
    with pytest.raises(ValueError, match="divides the batch size 5"):
        pipeline.training_dataset(_config(numbered), RECORDS, part=0, parts=2)


# --- class balance ----------------------------------------------------------

LONG_TAIL = [40, 12, 5, 2, 1]


@pytest.fixture(scope="module")
def long_tail(tmp_path_factory):
    """Sixty records of five classes, in random order."""
    labels = np.repeat(np.arange(5), LONG_TAIL)
    labels = np.random.default_rng(0).permutation(labels).tolist()
    folder = tmp_path_factory.mktemp("long_tail")
    return _write_shards(folder, [25, 0, 35], labels)


@pytest.mark.parametrize("balance", [0.5, 1.0])
def test_classes_come_by_their_share(long_tail, balance):
    config = _config(
        long_tail, num_classes=5, class_balance=balance, batch_size=20
    )
    stream = pipeline.training_dataset(config, 60)
    labels = _labels(stream, 30)
    share = np.array(LONG_TAIL) ** (1 - balance)
    expected = 600 * share / share.sum()
    # Not by chance: each class gets its share to a few images, much closer
    # than draws would, whose deviation is some 10.
    counts = np.bincount(labels, minlength=5)
    np.testing.assert_allclose(counts, expected, atol=3)
    # Nor at the epoch's end only.
    halves = [np.bincount(half) for half in np.split(np.array(labels), 2)]
    np.testing.assert_allclose(halves[0], halves[1], atol=16)


def test_balanced_stream_starts_anywhere(long_tail):
    config = _config(long_tail, num_classes=5, class_balance=0.7)
    index = pipeline.check_records(config)
    _assert_starts_anywhere(
        lambda first: pipeline.training_dataset(config, 60, first, index),
        (5, 55, 60, 65, 130),
    )
    labels = _labels(pipeline.training_dataset(config, 60, 0, index), 24)
    assert labels[:60] != labels[60:120]
    other = dataclasses.replace(config, seed=6)
    assert _labels(pipeline.training_dataset(other, 60), 12) != labels[:60]


def test_visits_are_even():
    """Within a class, and over time, and as the graph computes them."""
    random = np.random.default_rng(1)
    labels = random.permutation(np.repeat(np.arange(4), [300, 40, 7, 1]))
    plan = class_balance.plan_visits(labels, 1.0, seed=3)
    images = np.arange(len(labels))
    columns = tf.constant(plan.weights), tf.constant(plan.phases)
    total, position = np.zeros(len(labels)), 0
    for epoch in range(50):
        visits = class_balance.visits_in_graph(
            *columns, tf.constant(epoch, tf.int64), images
        ).numpy()
        of_class = np.bincount(labels, visits)
        np.testing.assert_allclose(of_class, len(labels) / 4, atol=1.01)
        assert plan.visits_before(epoch) == position
        assert plan.locate(position) == (epoch, 0)
        assert plan.locate(position + 3) == (epoch, 3)
        total += visits
        position += visits.sum()
    for label in range(4):
        of_label = total[labels == label]
        assert of_label.max() - of_label.min() <= 1
    # Which of a large class's images come in an epoch follows no pattern.
    first = np.flatnonzero((labels == 0) & (plan.visits_of(0) > 0))
    assert np.diff(first).std() > 0.3 * np.diff(first).mean()


def test_no_balance_is_one_visit_each():
    labels = np.array([3, 0, 0, 3, 3, 9])
    plan = class_balance.plan_visits(labels, 0.0, seed=0)
    for epoch in (0, 1, 7, 100_000):
        np.testing.assert_array_equal(plan.visits_of(epoch), 1)


# --- damage -----------------------------------------------------------------


def _damage(path, record):
    """Changes a byte of a record's image; all have the same length."""
    data = bytearray(path.read_bytes())
    size = len(data) // 5
    data[record * size + size // 2] ^= 1
    path.write_bytes(data)


def test_bad_records_are_left_out(tmp_path):
    _write_shards(tmp_path, SHARDS, [i % 10 for i in range(20)])
    _damage(tmp_path / "train-00002-of-00004", 1)  # The ninth record.
    last = tmp_path / "train-00003-of-00004"
    last.write_bytes(last.read_bytes()[:-20])
    config = _config(tmp_path, num_classes=10)
    with pytest.raises(InputError, match="about 2 records are damaged"):
        pipeline.check_records(config)
    config = dataclasses.replace(config, max_bad_records=2, batch_size=6)
    index = pipeline.check_records(config)
    assert index.images == 18
    stream = pipeline.training_dataset(config, 20, index=index)
    labels = _labels(stream, 6)
    kept = collections.Counter([i % 10 for i in range(20) if i not in (8, 19)])
    assert collections.Counter(labels[:18]) == kept
    assert collections.Counter(labels[18:]) == kept
    # Found again where none is given, and the same at any start.
    assert _labels(pipeline.training_dataset(config, 20, 12), 4) == labels[12:]
    validation = pipeline.validation_dataset(config)
    assert _labels(validation, 9) == [
        i % 10 for i in range(20) if i not in (8, 19)
    ]


# --- caches -----------------------------------------------------------------


def test_memory_serves_later_epochs(tmp_path):
    _write_shards(tmp_path, SHARDS, range(RECORDS))
    config = _config(tmp_path, cache="memory")
    dataset = pipeline.training_dataset(config, RECORDS)
    first = _labels(dataset, 8)
    for path in tmp_path.glob("train-*"):
        path.unlink()
    assert first == GOLDEN[:40]
    assert _labels(dataset, 12) == GOLDEN


def test_folder_serves_later_runs(tmp_path):
    _write_shards(tmp_path, SHARDS, range(RECORDS))
    folder = tmp_path / "cache"
    config = _config(tmp_path, cache=str(folder))
    assert _labels(pipeline.training_dataset(config, RECORDS), 12) == GOLDEN
    copies = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(copies) == len(SHARDS)
    # What is read are the copies: others in their place are seen.
    for path in copies:
        shard = int(path.name[len("train-0000")])
        data = (tmp_path / f"train-0000{3 - shard}-of-00004").read_bytes()
        path.write_bytes(data)
    assert _labels(pipeline.training_dataset(config, RECORDS), 4) != GOLDEN[:20]
    # A file built anew is copied anew.
    changed = tmp_path / "train-00000-of-00004"
    os.utime(changed, (1, 1))
    pipeline.training_dataset(config, RECORDS)
    new = set(folder.iterdir()) - set(copies)
    assert [path.read_bytes() for path in new] == [changed.read_bytes()]


# --- service ----------------------------------------------------------------


@pytest.fixture
def service():
    tf_service = tf.data.experimental.service
    dispatcher = tf_service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    workers = []

    def start(count):
        for _ in range(count):
            config = tf_service.WorkerConfig(address, heartbeat_interval_ms=100)
            workers.append(tf_service.WorkerServer(config))
        return dispatcher.target

    yield start
    for worker in workers:
        worker._stop()
    dispatcher._stop()


def test_one_worker_gives_the_same_stream(numbered, service):
    config = _config(numbered)
    local = pipeline.training_dataset(config, RECORDS, 35).take(8)
    config = dataclasses.replace(config, service=service(1))
    remote = pipeline.training_dataset(config, RECORDS, 35).take(8)
    for ours, expected in zip(remote, local, strict=True):
        np.testing.assert_array_equal(ours[0], expected[0])
        np.testing.assert_array_equal(ours[1], expected[1])


def test_two_workers_share_the_epochs(numbered, service):
    config = _config(numbered, batch_size=10, service=service(2))
    labels = _labels(pipeline.training_dataset(config, RECORDS), 40)
    counts = np.bincount(labels, minlength=RECORDS)
    # 400 images are 20 epochs; those under way are not complete.
    assert counts.sum() == 400 and (abs(counts - 20) <= 2).all()


def test_service_that_cannot_be_used(numbered, service):
    for address, message in [
        ("localhost:5000", "must be like grpc://"),
        ("grpc://127.0.0.1:1", r"No tf\.data service answers at grpc://127"),
    ]:
        config = _config(numbered, service=address)
        with pytest.raises(InputError, match=message):
            pipeline.training_dataset(config, RECORDS)
    config = _config(numbered, service=service(0), batch_size=4)
    with pytest.raises(InputError, match="serves one training process"):
        pipeline.training_dataset(config, RECORDS, parts=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_balance": 1.1}, "class_balance"),
        ({"max_bad_records": -1}, "max_bad_records"),
        ({"parallelism": -1}, "parallelism"),
        ({"cache": "memory", "service": "grpc://a:1"}, "cache"),
    ],
)
def test_configurations_that_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        _config(pathlib.Path("x"), **changes)


# --- benchmark --------------------------------------------------------------


@pytest.mark.slow
def test_benchmark_runs():
    script = ROOT / "experiments" / "benchmarks" / "input_pipeline.py"
    command = [sys.executable, str(script), "--json", "--rounds=1"]
    command += ["--images=16", "--batches=1", "--batch_size=4"]
    command += ["--image_sizes=48", "--steps=resnet_small:48"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rates = json.loads(done.stdout.splitlines()[-1])
    assert rates["pipeline_to_step resnet_small 48"] > 0
