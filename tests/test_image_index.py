"""The index in a folder: against a dictionary, bad input, damage, readers."""

import json
import os
import pathlib
import random
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from feature_files import unit_features

from delg_tf.common.errors import InputError
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.batches import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    open_index,
    open_writer,
)
from delg_tf.retrieval.index.disk.compaction import first_to_merge
from delg_tf.retrieval.index.index_features import IndexFeatures
from delg_tf.retrieval.index.settings import IndexSettings

DIM = 8
SETTINGS = IndexSettings(DIM, local_format="int8", model="model 1")


def _vector(seed):
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    # Some images are too small to have one.
    vector *= seed % 6 != 0
    return vector / (np.linalg.norm(vector) or 1)


def _batch(versions, **columns):
    """Images by name; the version tells all that they have."""
    return ImageBatch(
        list(versions),
        np.array([_vector(v) for v in versions.values()]).reshape(-1, DIM),
        [unit_features(v % 5, 16, seed=v) for v in versions.values()],
        {"version": list(versions.values()), **columns},
        "model 1",
    )


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch):
    """What is on the disk when the power fails is another test's matter."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "index"
    create_index(path, SETTINGS)
    return path


def _fill(place, count=10, **columns):
    versions = {f"i{n}": n + 1 for n in range(count)}
    with open_writer(place) as writer:
        writer.add(_batch(versions, **columns))
    return versions


def _assert_holds(index, expected):
    """Compares all content with (version, extra) by name, in the ids' order."""
    assert list(index.names) == list(expected) and len(index) == len(expected)
    rows = np.array([_vector(v) for v, _ in expected.values()])
    np.testing.assert_allclose(
        index.descriptors(index.names), rows.reshape(-1, DIM), atol=1e-6
    )
    for name, (version, extra) in expected.items():
        assert name in index
        metadata = index.metadata(name)
        assert metadata["version"] == version
        assert metadata.get("extra") == extra
        local = EncodedFeatures.encode(
            unit_features(version % 5, 16, seed=version), "int8"
        )
        np.testing.assert_array_equal(index.local(name).codes, local.codes)
    if expected:
        query = _vector(1)
        similar = rows @ query
        similar[~rows.any(axis=1)] = -1
        order = np.argsort(-similar, kind="stable")
        hits = index.search(query[None], len(rows))
        assert hits.ids[0].tolist() == order.tolist()
        np.testing.assert_allclose(
            hits.similarities[0], similar[order], atol=1e-6
        )
    known = [n for n, (_, extra) in expected.items() if extra is not None]
    found = index.matching("not extra is None") if known else []
    assert [index.names[i] for i in found] == known


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_equal_those_of_a_dictionary(place, seed):
    rng = random.Random(seed)
    reader, kept = open_index(place), open_index(place)
    assert list(kept.names) == []
    committed, state = {}, {}
    writer = open_writer(place)
    for version in range(1, 91):
        step = rng.choice(["add", "add", "update", "remove", "set", "end"])
        some = rng.sample(list(state), min(len(state), rng.randint(1, 6)))
        if step == "add":
            names = {
                f"{version}/{n}": version for n in range(rng.randint(1, 8))
            }
            writer.add(_batch(names))
            state |= dict.fromkeys(names, (version, None))
        elif step == "set" and some:
            writer.set_metadata(some, {"extra": [version / 2] * len(some)})
            state |= {name: (state[name][0], version / 2) for name in some}
        elif step in ("update", "remove"):
            if step == "update":
                writer.update(_batch(dict.fromkeys(some, version)))
            else:
                writer.remove(some)
            for name in some:
                del state[name]
            if step == "update":
                state |= dict.fromkeys(some, (version, None))
        elif step == "end":
            assert len(writer) == len(state)
            _assert_holds(reader, committed)
            end = rng.choice(["commit", "commit", "rollback", "compact", "new"])
            if end == "rollback":
                writer.rollback()
                state = dict(committed)
            elif end == "compact":
                writer.compact()
            else:
                writer.commit()
            if end == "new":
                writer.close()
                writer = open_writer(place)
            committed = dict(state)
            reader.refresh()
            _assert_holds(reader, committed)
            assert not reader.refresh() and not reader.verify()
    writer.close()
    assert reader.describe().generation > 5
    _assert_holds(open_index(place), committed)
    # What was opened first is still there.
    assert len(kept) == 0 and list(kept.names) == []


@pytest.mark.parametrize("size", [1, 3, 50_000])
def test_images_are_copied_few_times_whatever_a_commit_holds(size):
    segments, copied = [], 0
    for _ in range(1000):
        segments.append(SimpleNamespace(images=size))
        manifest = SimpleNamespace(
            segments=segments, num_deleted=0, num_rows=len(segments) * size
        )
        first = first_to_merge(manifest)
        if first < len(segments):
            images = sum(segment.images for segment in segments[first:])
            segments[first:] = [SimpleNamespace(images=images)]
            copied += images
        assert len(segments) <= 16
    assert copied <= 5 * 1000 * size


def test_many_commits_are_merged_and_nothing_else_is_left(place):
    with open_writer(place) as writer:
        for number in range(40):
            writer.add(_batch({f"i{number}": number}))
            writer.commit()
    index = open_index(place)
    assert index.describe().segments <= 16
    assert list(index.names) == [f"i{n}" for n in range(40)]
    with open_writer(place) as writer:
        writer.remove([f"i{n}" for n in range(20)])
    index.refresh()
    description = index.describe()
    assert (description.deleted, description.segments) == (0, 1)
    _assert_holds(index, {f"i{n}": (n, None) for n in range(20, 40)})
    named = {file.path for file in index.snapshot.manifest.files}
    left = {
        path.relative_to(place).as_posix()
        for path in place.rglob("*")
        if path.is_file()
    }
    assert left - named <= {"manifest.json", "writer.lock"}
    size = sum((place / path).stat().st_size for path in named)
    manifest = (place / "manifest.json").stat().st_size
    assert sum(description.bytes.values()) == size + manifest
    with open_writer(place) as writer:
        writer.remove(list(index.names))
    index.refresh()
    assert len(index) == 0 and index.describe().segments == 0


def test_an_exception_undoes_what_was_not_committed(place):
    _fill(place)
    with pytest.raises(RuntimeError), open_writer(place) as writer:
        writer.add(_batch({"new": 3}))
        writer.commit()
        writer.add(_batch({"newer": 4}))
        writer.remove(["i0"])
        raise RuntimeError
    names = open_index(place).names
    assert "new" in names and "newer" not in names and "i0" in names


def _with(batch, **changes):
    return ImageBatch(**{**vars(batch), **changes})


_GOOD = _batch({"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.add(_batch({"i1": 1, "x": 2})), "1 .*already: i1"),
        (lambda w: w.add(_with(_GOOD, names=["a", "a"])), "same name: a"),
        (lambda w: w.add(_with(_GOOD, names=["a", "b\n"])), "single lines"),
        (lambda w: w.add(_with(_GOOD, model="model 2")), "model 2.* model 1"),
        (
            lambda w: w.add(_with(_GOOD, descriptors=np.eye(4)[:2])),
            "4 dimensions, those of the index 8",
        ),
        (
            lambda w: w.add(_with(_GOOD, descriptors=np.ones((2, 8)))),
            "L2-normalised",
        ),
        (lambda w: w.add(_with(_GOOD, names=["a"])), "row a name"),
        (lambda w: w.add(_with(_GOOD, local=None)), "2 images have none: a, b"),
        (
            lambda w: w.add(_with(_GOOD, local=[_GOOD.local[0], None])),
            "1 images have none: b",
        ),
        (
            lambda w: w.add(_with(_GOOD, metadata={"version": ["x", "y"]})),
            "'version' .* string; it held int64",
        ),
        (lambda w: w.add(_with(_GOOD, metadata={"name": [1, 2]})), "'name'"),
        (lambda w: w.add(_with(_GOOD, metadata={"x": [1]})), "2 rows"),
        (lambda w: w.update(_batch({"i1": 1, "x": 2})), "not in .*: x"),
        (lambda w: w.remove(["i1", "x"]), "1 images are not in .*: x"),
        (lambda w: w.remove(["i1", "i1"]), "same name: i1"),
        (lambda w: w.set_metadata(["x"], {"y": [1]}), "not in .*: x"),
        (lambda w: w.set_metadata(["i1"], {"version": ["s"]}), "held int64"),
    ],
)
def test_bad_input_leaves_the_index_unharmed(place, change, message):
    versions = _fill(place)
    with open_writer(place) as writer:
        with pytest.raises(ValueError, match=message):
            change(writer)
        # Going on is as if nothing had been tried.
        writer.add(_batch({"new": 3}))
        with pytest.raises(ValueError, match=message):
            change(writer)
    expected = {n: (v, None) for n, v in (versions | {"new": 3}).items()}
    _assert_holds(open_index(place), expected)


def test_bad_searches_and_questions(place):
    index = open_index(place)
    with pytest.raises(InputError, match="is empty"):
        index.search(_vector(1)[None], 1)
    _fill(place)
    index.refresh()
    with pytest.raises(InputError, match="4 dimensions"):
        index.search(np.eye(4, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="L2-normalised"):
        index.search(np.ones((1, DIM), np.float32), 1)
    with pytest.raises(ValueError, match="`k`"):
        index.search(_vector(1)[None], 0)
    for ask in (index.local, index.metadata, lambda n: index.descriptors([n])):
        with pytest.raises(InputError, match="no image 'x'"):
            ask("x")
    without = place.with_name("without")
    create_index(without, IndexSettings(DIM))
    with open_writer(without) as writer:
        with pytest.raises(InputError, match="keeps no local features"):
            writer.add(_batch({"a": 1}))
        writer.add(_with(_GOOD, local=None))
    with pytest.raises(InputError, match="no local features of a"):
        open_index(without).local("a")
    store = FeatureStore(IndexFeatures(open_index(without)))
    with pytest.raises(InputError, match="local features missing in the index"):
        store.require_local(["a"])


def test_one_writer_at_a_time(place):
    with open_writer(place) as writer:
        with pytest.raises(InputError, match="being written"):
            open_writer(place)
        writer.add(_GOOD)
    with open_writer(place) as writer:
        assert "a" in writer
    with pytest.raises(InputError, match="exists already"):
        create_index(place, SETTINGS)
    with pytest.raises(InputError, match="does not exist"):
        open_writer(place / "none")


def _files(place, pattern):
    return sorted(place.glob(f"data/**/{pattern}"))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "pattern",
    ["images.arrow", "metadata*.arrow", "local.arrows", "*.npy", "removed.*"],
)
def test_damage_is_found(place, pattern):
    _fill(place)
    with open_writer(place) as writer:
        writer.remove(["i3"])
        writer.set_metadata(["i4"], {"extra": [1.5]})
    for path in _files(place, pattern):
        whole = path.read_bytes()
        _cut(path)
        for opening in (open_index, open_writer):
            with pytest.raises(InputError, match=rf"{path}.*bytes instead"):
                opening(place)
        path.unlink()
        with pytest.raises(InputError, match=f"{path} is missing.*copy"):
            open_index(place)
        path.write_bytes(whole)
        index = open_index(place)
        assert index.verify() == []
        _flip(path)
        (problem,) = index.verify()
        assert f"{path} is damaged" in problem and "SHA-256" in problem
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["images.arrow", "metadata.arrow", "removed"])
def test_any_wrong_byte_ends_in_a_message_or_in_nothing(place, name):
    _fill(place, city=["é"] * 10)
    with open_writer(place) as writer:
        writer.remove(["i3"])
    (path,) = _files(place, f"{name}*")
    whole, rng, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(100):
        content = bytearray(whole)
        content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            index = open_index(place)
            index.search(_vector(1)[None], 5, 'version > 2 and city == "é"')
            index.metadata(index.names[0])
        except InputError:
            refused += 1
    assert refused > 20


def test_damaged_manifest(place):
    _fill(place)
    path = place / "manifest.json"
    content = json.loads(path.read_text())
    for changes, message in (
        ({"format": "x"}, "does not describe an index"),
        ({"version": 2}, "version 2 is not known"),
        ({"generation": 7}, "checksum does not hold"),
        ({"extra": 1}, "checksum does not hold"),
    ):
        path.write_text(json.dumps(content | changes))
        with pytest.raises(InputError, match=f"manifest.json.*{message}"):
            open_index(place)
    path.write_text("{")
    with pytest.raises(InputError, match=r"manifest.json is not valid JSON"):
        open_writer(place)
    path.unlink()
    with pytest.raises(InputError, match=r"manifest.json does not exist"):
        open_index(place)


def test_readers_see_one_generation_while_a_writer_goes_on(place):
    """All images of a generation have its number; files come and go."""

    def write():
        with open_writer(place) as writer:
            for number in range(1, 40):
                names = {f"i{n}": number for n in range(4 + number % 3)}
                present = [f"i{n}" for n in range(7) if f"i{n}" in writer]
                writer.remove(present)
                writer.add(_batch(names))
                writer.compact() if number % 4 == 0 else writer.commit()

    thread = threading.Thread(target=write)
    thread.start()
    generations = set()
    while thread.is_alive():
        index = open_index(place)
        for _ in range(3):
            names = list(index.names)
            numbers = {index.metadata(name)["version"] for name in names}
            assert len(numbers) <= 1
            if names:
                (number,) = numbers
                assert len(names) == 4 + number % 3
                hits = index.search(_vector(number)[None], 9, "version >= 0")
                assert sorted(hits.names_of(0)) == names
                vector = index.descriptors(names[:1])[0]
                np.testing.assert_allclose(vector, _vector(number), atol=1e-6)
                assert len(index.local(names[-1])) == number % 5
                generations.add(number)
            index.refresh()
    thread.join()
    assert len(generations) > 3
    assert open_index(place).metadata("i0")["version"] == 39


def test_schemas_grow_and_filters_see_all_segments(place):
    _fill(place, 4, city=["Rome", "Oslo", None, "Rome"])
    with open_writer(place) as writer:
        writer.add(_batch({"x": 7}, year=[1.5]))
        writer.commit()
        writer.add(_batch({"y": 8}, year=[2000], city=["Rome"]))
    index = open_index(place)
    assert index.metadata_schema.names == ["version", "city", "year"]
    assert index.metadata("i0") == {"version": 1, "city": "Rome", "year": None}
    found = index.search(_vector(1)[None], 9, 'city == "Rome"').names_of(0)
    assert sorted(found) == ["i0", "i3", "y"]
    assert index.matching("year > 1 and version < 8").tolist() == [4]
    assert index.search(_vector(1)[None], 9, "year > 3000").ids.shape == (1, 0)
    with open_writer(place) as writer:
        writer.remove(["x", "y"])
        writer.compact()
    index.refresh()
    # No image has one any more, but filters still know it.
    assert index.matching("year is None").tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"no column 'age'.*'version'"):
        index.matching("age == 1")
    assert pathlib.Path(index.describe().place) == place
