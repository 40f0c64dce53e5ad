"""The single-file store: against Arrow itself, crashes and damage."""

import pathlib
import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from append_images import IMAGES_A_BATCH, image_of
from feature_files import unit_features

from delg_tf.common.errors import InputError
from delg_tf.features.compact.image_features import CompactImage
from delg_tf.features.compact.store import ArrowStore
from delg_tf.features.compact.store_info import StoreInfo
from delg_tf.features.compact.store_writer import ArrowStoreWriter
from delg_tf.features.local_features import LocalFeatures

INFO = StoreInfo("int8", "float16", "model 1")


def _image(number, count=20):
    return CompactImage.make(
        np.eye(8, dtype=np.float32)[number % 8],
        unit_features(count, 32, seed=number),
        "int8",
        "float16",
    )


def _images(numbers):
    return [(f"sub/{number}", _image(number)) for number in numbers]


@pytest.fixture
def path(tmp_path):
    """A store of three batches: 0 to 4, 5 to 9, 10 to 14."""
    path = tmp_path / "features.arrows"
    with ArrowStoreWriter.create(path, INFO) as writer:
        writer.append(_images(range(5)))
    for start in (5, 10):
        with ArrowStoreWriter(path) as writer:
            writer.append(_images(range(start, start + 5)))
    return path


def _assert_is(store, number):
    image, expected = store.image(f"sub/{number}"), _image(number)
    np.testing.assert_array_equal(
        image.global_descriptor, expected.global_descriptor
    )
    np.testing.assert_array_equal(image.local.codes, expected.local.codes)
    assert image.local.geometry.table.tobytes() == (
        expected.local.geometry.table.tobytes()
    )
    assert image.local.geometry.units == expected.local.geometry.units


def test_images_come_back_and_arrow_reads_the_file(path):
    store = ArrowStore(path)
    assert store.names == [f"sub/{number}" for number in range(15)]
    assert store.info == INFO
    for number in range(15):
        _assert_is(store, number)
    np.testing.assert_array_equal(
        store.global_descriptors(["sub/9", "sub/2"]), np.eye(8)[[1, 2]]
    )
    np.testing.assert_array_equal(
        store.local_features("sub/3").descriptors,
        _image(3).local.decode().descriptors,
    )
    assert "sub/15" not in store
    with pytest.raises(InputError, match="no image 'sub/15'"):
        store.local_features("sub/15")
    # Any Arrow library.
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_stream(source).read_all()
    assert table.column("name").to_pylist()[7] == b"sub/7"
    assert table.column("codes").to_pylist()[7] == (
        _image(7).local.codes.tobytes()
    )
    assert len(table.column("geometry").to_pylist()[7]) == 20 * 10


def test_odd_names_and_images_without_features(tmp_path):
    path = tmp_path / "s"
    names = ["ä/ö", "a b", b"caf\xe9".decode("utf-8", "surrogateescape")]
    empty = CompactImage.make(
        np.zeros(0, np.float32), LocalFeatures.empty(), "int8", "float16"
    )
    with ArrowStoreWriter.create(path, INFO) as writer:
        writer.append([(names[0], empty)])
        writer.append([(name, _image(n)) for n, name in enumerate(names) if n])
        writer.append([])
        writer.append([("bare", CompactImage(None, None))])
    store = ArrowStore(path)
    assert store.names == [*names, "bare"]
    assert not store.global_descriptors(names[:2])[0].any()
    assert len(store.local_features(names[0])) == 0
    assert len(store.local_features(names[2])) == 20
    with pytest.raises(InputError, match="bare has no global descriptor"):
        store.global_descriptors(["bare"])


def test_one_writer_and_no_image_twice(path):
    before = path.read_bytes()
    with ArrowStoreWriter(path) as writer:
        assert len(writer) == 15 and "sub/14" in writer
        with pytest.raises(InputError, match="written by another process"):
            ArrowStoreWriter(path)
        for bad in (_images([3]), _images([20, 20])):
            with pytest.raises(ValueError, match="new names"):
                writer.append(bad)
        other = CompactImage.make(None, unit_features(1, 32), "binary")
        with pytest.raises(ValueError, match="store's formats"):
            writer.append([("new", other)])
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="exists already"):
        ArrowStoreWriter.create(path, INFO)
    for info, text in (
        (StoreInfo("binary", "float16", "model 1"), "format int8"),
        (StoreInfo("int8", "float16", "model 2"), "configuration model 1"),
    ):
        with pytest.raises(InputError, match=text):
            ArrowStoreWriter.open_or_create(path, info)


def test_a_reader_sees_what_was_complete(path):
    reader = ArrowStore(path)
    with ArrowStoreWriter(path) as writer:
        writer.append(_images(range(15, 20)))
        assert len(ArrowStore(path)) == 20
        assert len(reader) == 15
        _assert_is(reader, 14)


def test_cut_off_anywhere(path):
    """A crash leaves the file cut off, or with holes, after some byte."""
    data = path.read_bytes()
    ends = [0, 5, 10, 15]
    sizes = [_size_with(path, count) for count in ends]
    rng = random.Random(0)
    cuts = {*sizes, *(size - 1 for size in sizes[1:])}
    cuts |= {rng.randrange(sizes[0], len(data)) for _ in range(25)}
    for cut in sorted(cuts):
        for tail in (b"", b"\0" * 96, b"\xff" * 64, rng.randbytes(80)):
            content = data[:cut] + tail
            complete = max(
                end
                for end, size in zip(ends, sizes)
                if content[:size] == data[:size]
            )
            path.write_bytes(content)
            # Images of the next batch may be whole, or have holes.
            assert complete <= len(ArrowStore(path)) <= complete + 5
            with ArrowStoreWriter(path) as writer:
                lost = [n for n in range(15) if f"sub/{n}" not in writer]
                assert lost == list(range(15 - len(lost), 15)) or tail
                assert not set(lost) & set(range(complete))
                writer.append(_images(lost))
            store = ArrowStore(path)
            assert len(store) == 15
            for number in range(15):
                _assert_is(store, number)


def _size_with(path, count):
    copy = path.with_name("copy")
    copy.unlink(missing_ok=True)
    with ArrowStoreWriter.create(copy, INFO) as writer:
        for start in range(0, count, 5):
            writer.append(_images(range(start, start + 5)))
    return copy.stat().st_size


def test_damage_is_told_or_passed_over_and_never_read(path):
    data = path.read_bytes()
    rng = random.Random(1)
    seen = set()
    for _ in range(100):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            store = ArrowStore(path)
        except InputError as error:
            assert str(path) in str(error)
            seen.add("head")
            continue
        for number in range(15):
            try:
                _assert_is(store, number)
            except InputError as error:
                assert str(path) in str(error)
                seen.add("row")
        missing = 15 - len(store)
        if missing:
            # A batch whose message is unreadable; the others are there.
            assert missing == 5
            seen.add("batch")
    assert seen == {"head", "row", "batch"}


def test_holes_in_the_last_images_are_filled_again(path):
    """After a loss of power pages may be missing in the last batch."""
    data = bytearray(path.read_bytes())
    codes = _image(12).local.codes.tobytes()
    at = data.index(codes)
    data[at : at + len(codes)] = bytes(len(codes))
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"sub/12: .* damaged"):
        ArrowStore(path).image("sub/12")
    with ArrowStoreWriter(path) as writer:
        assert len(writer) == 14 and "sub/12" not in writer
        writer.append(_images([12]))
    store = ArrowStore(path)
    assert len(store) == 15
    for number in range(15):
        _assert_is(store, number)


def test_what_is_no_store_is_refused(tmp_path):
    other = tmp_path / "other"
    for content in (b"", b"no store", bytes(500)):
        other.write_bytes(content)
        for opener in (ArrowStore, ArrowStoreWriter):
            with pytest.raises(InputError, match="other"):
                opener(other)
        assert other.read_bytes() == content
    for opener in (ArrowStore, ArrowStoreWriter):
        with pytest.raises(InputError, match="none"):
            opener(tmp_path / "none")


def test_killed_writers(tmp_path):
    path = tmp_path / "killed.arrows"
    script = pathlib.Path(__file__).with_name("append_images.py")
    rng = random.Random(2)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, str(script), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for _ in range(rng.randrange(2, 6)):
                line = process.stdout.readline()
            # In the midst of the next one.
            try:
                process.wait(rng.random() * 0.02)
            except subprocess.TimeoutExpired:
                process.kill()
            told = [line, *process.stdout]
        promised = int(told[-1].split()[1])
        store = ArrowStore(path)
        # What was promised, and at most one batch that nobody was told of.
        assert promised <= len(store) <= promised + IMAGES_A_BATCH
        assert store.names == [str(number) for number in range(len(store))]
        for number in range(len(store)):
            image = store.image(str(number))
            assert (image.global_descriptor == number).all()
            np.testing.assert_array_equal(
                image.local.codes, image_of(number % 16).local.codes
            )
    assert len(store) >= 3 * IMAGES_A_BATCH
