"""The index on Milvus, in Milvus Lite: held to what the one in a folder is."""

import datetime
import json
import pathlib
import random
import sys
import time
import types

import numpy as np
import pyarrow as pa
import pytest
from feature_files import unit_features
from test_image_index import (  # noqa: F401
    DIM,
    SETTINGS,
    _batch,
    _fast_disk,
    _fill,
    _vector,
    test_an_exception_undoes_what_was_not_committed,
    test_bad_input_leaves_the_index_unharmed,
)
from test_image_index import (
    test_random_changes_equal_those_of_a_dictionary as _random_changes,
)
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.features import feature_io
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.index.base import ImageBatch
from delg_tf.retrieval.index.choice import (
    create_index,
    index_exists,
    open_index,
    open_writer,
    replaced_index,
)
from delg_tf.retrieval.index.filters import Compare, StartsWith
from delg_tf.retrieval.index.importing import ImportOptions, import_features
from delg_tf.retrieval.index.milvus.expressions import expression_of, quoted
from delg_tf.retrieval.index.milvus.local_shards import shard_of
from delg_tf.retrieval.index.milvus.place import parse_place
from delg_tf.retrieval.index.settings import IndexSettings
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.vectors.options import VectorOptions

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One for all tests: opening Milvus Lite takes most of the time."""
    return tmp_path_factory.mktemp("milvus") / "file.db"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """Pymilvus looks every half second whether a collection is ready."""
    handler = pytest.importorskip("pymilvus.client.grpc_handler")
    changed = {"sleep": lambda seconds: time.sleep(min(seconds, 0.001))}
    clock = types.SimpleNamespace(**{**vars(time), **changed})
    monkeypatch.setattr(handler, "time", clock)


@pytest.fixture
def free(file, request):
    """A place where nothing is."""
    number = abs(hash(request.node.name)) % 10**9
    return f"milvus:{file}#test_{number}?shards=3"


@pytest.fixture
def place(free):
    create_index(free, SETTINGS)
    return free


def test_random_changes(place):
    _random_changes(place, 1)


def test_without_pymilvus(free, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(InputError, match=r"pip install 'delg-tf\[milvus\]'"):
        create_index(free, SETTINGS)


_WORDS = ["Rome", "O'x", 'a"b\\c', '" or row >= 0 or name == "', "100%_", ""]
_WORDS += ["é€😀", "Rome\n2", "exists", "{x}", "\uffff"]


def _value(rng, column):
    if rng.random() < 0.2:
        return None
    return {
        "city": lambda: rng.choice(_WORDS),
        "of the landmark": lambda: rng.choice(_WORDS),
        "label": lambda: rng.randint(-3, 3),
        "height": lambda: rng.choice([-1.5, 0.0, 1e-7, 2.0, 1e20]),
        "open": lambda: rng.random() < 0.5,
        "day": lambda: datetime.date(2020, 1, rng.randint(1, 5)),
        "seen": lambda: datetime.datetime(2020, 1, 1, rng.randint(0, 5)),
        "latitude": lambda: rng.uniform(-89, 89),
        "longitude": lambda: rng.uniform(-180, 180),
        "nothing": lambda: None,
    }[column]()


_COLUMNS = ["city", "of the landmark", "label", "height", "open", "day"]
_COLUMNS += ["seen", "latitude", "longitude", "nothing"]


def _filter(rng, depth=0):
    """A random filter, as text."""
    kind = rng.choice(["leaf"] * (1 + depth) + ["and", "or", "not"])
    if kind == "not":
        return f"not ({_filter(rng, depth + 1)})"
    if kind != "leaf":
        parts = (_filter(rng, depth + 1), _filter(rng, depth + 1))
        return f"({f' {kind} '.join(parts)})"
    column = rng.choice([*_COLUMNS, "name"])
    if column in ("latitude", "longitude"):
        there = (rng.uniform(-80, 80), rng.uniform(-170, 170))
        return f"near({there[0]}, {there[1]}, {rng.choice([0, 3000, 9000])})"
    name = f"column({column!r})"
    if rng.random() < 0.15:
        return f"{name} is {rng.choice(['None', 'not None'])}"
    if column in ("city", "of the landmark", "name"):
        text = rng.choice([*_WORDS, "i1", "i", "Ro", "%", "\\", '"', "\n"])
        form = rng.choice(["{0} in {1}", "startswith({1}, {0})", "op", "list"])
        if form == "list":
            return f"{name} in [{text!r}, 'Rome', 'i7']"
        if form != "op":
            return form.format(repr(text), name)
        value = repr(text)
    else:
        value = {
            "label": lambda: rng.choice(["1", "-2", "0.5", "1e400"]),
            "height": lambda: rng.choice(["0", "1e-7", "-1.5", "3"]),
            "open": lambda: rng.choice(["True", "False"]),
            "day": lambda: "'2020-01-03'",
            "seen": lambda: "'2020-01-01 03:00:00'",
            "nothing": lambda: rng.choice(["1", "'x'"]),
        }[column]()
    return f"{name} {rng.choice(['==', '!=', '<', '<=', '>', '>='])} {value}"


def test_random_filters_equal_those_of_a_folder(place, tmp_path):
    rng = random.Random(0)
    folder = tmp_path / "index"
    create_index(folder, SETTINGS)
    versions = {f"i{n}": n for n in range(60)}
    columns = {c: [_value(rng, c) for _ in versions] for c in _COLUMNS}
    batch = _batch(versions, **columns)
    for where in (folder, place):
        with open_writer(where) as writer:
            writer.add(batch)
    here, there = open_index(place), open_index(folder)
    assert here.metadata_schema == there.metadata_schema
    for name in versions:
        assert here.metadata(name) == there.metadata(name)
    sizes = []
    for _ in range(250):
        text = _filter(rng)
        ids = there.matching(text)
        np.testing.assert_array_equal(here.matching(text), ids, text)
        sizes.append(len(ids))
        if len(sizes) % 10 == 0:
            hits = [i.search(_vector(1)[None], 60, text) for i in (here, there)]
            np.testing.assert_array_equal(hits[0].ids, hits[1].ids)
            np.testing.assert_allclose(
                hits[0].similarities, hits[1].similarities, atol=1e-6
            )
    assert sum(0 < size < 60 for size in sizes) > 100
    for text, message in (
        ("age == 1", "no column 'age'; it has 'name', 'version'"),
        ('label == "x"', "'label' holds int64; it cannot"),
    ):
        with pytest.raises(InputError, match=message):
            here.matching(text)


def test_no_text_leaves_its_quotes():
    """Reads literals back as Milvus' grammar has them."""
    rng = random.Random(0)
    schema = pa.schema([pa.field('a"] or row >= 0 or meta["', pa.string())])
    for _ in range(2000):
        text = "".join(rng.choices("\\\"'\n\r\tab%{}] or", k=6))
        literal = quoted(text)
        assert "\n" not in literal and "\r" not in literal
        assert json.loads(literal) == text
        for leaf in (
            Compare(schema.names[0], "==", text),
            StartsWith(schema.names[0], text),
        ):
            outside = expression_of(leaf, schema, None).replace(literal, "")
            assert "row" not in outside and schema.names[0] not in outside


def test_ties_unknown_queries_and_images_without_descriptor(place):
    count = 40
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[3] = 0
    kinds = rng.integers(0, 4, count)
    batch = ImageBatch(
        [f"n{(7 * i) % count}" for i in range(count)],
        rows[kinds],
        [unit_features(1, 16)] * count,
    )
    with open_writer(place) as writer:
        writer.add(batch)
    index = open_index(place)
    queries = np.stack([rows[0], np.zeros(DIM, np.float32), rows[1]])
    similar = queries @ rows[kinds].T
    similar[:, kinds == 3] = similar[1] = -1
    order = np.argsort(-similar, kind="stable")
    for k in (1, 5, 33, 99):
        hits = index.search(queries, k)
        expected = [[batch.names[i] for i in row[:k]] for row in order]
        assert [hits.names_of(q) for q in range(3)] == expected
    # Before the names were read, ids counted what was found.
    assert len(index.search(queries, 1).names) < count == len(index.names)
    np.testing.assert_array_equal(index.search(queries, 9).ids, order[:, :9])
    assert index.describe().without_descriptor == (kinds == 3).sum()


def test_local_features_lie_in_shards_by_name(place, tmp_path):
    _fill(place, 30)
    with open_writer(place) as writer:
        with pytest.raises(InputError, match="being written"):
            open_writer(place)
        writer.update(_batch({"i3": 99}))
        writer.add(_batch({"odd\udcff/é": 4}))
        writer.commit()
        writer.update(_batch({"i4": 98}))
        writer.rollback()
    index = open_index(place)
    assert index.metadata("odd\udcff/é")["version"] == 4
    assert "odd\udcff/é" in index and index.names[-1] == "odd\udcff/é"
    expected = {n: len(index.local(n)) for n in index.names}
    assert expected["i3"] == 99 % 5 and expected["i4"] == 0
    (folder,) = {p.parent for p in _stores(place)}
    sizes = [path.stat().st_size for path in _stores(place)]
    assert len(sizes) == 3 == len({shard_of(n, 3) for n in index.names})
    with open_writer(place) as writer:
        writer.compact()
    assert sum(p.stat().st_size for p in _stores(place)) < sum(sizes)
    for reader in (index, open_index(place)):
        assert {n: len(reader.local(n)) for n in index.names} == expected
        assert reader.verify() == []
    (path, *_) = sorted(folder.glob("*.arrows"))
    path.rename(path.with_suffix(".gone"))
    problems = open_index(place).verify()
    assert problems and str(path) in problems[0]


def test_the_hash_of_a_name_never_changes():
    # $ printf 'sub/photo 1' | b2sum -l 64
    digest = 0x9A0C6F65DF63A9DE
    for shards in (1, 16, 1000, 1 << 40):
        assert shard_of("sub/photo 1", shards) == digest % shards


def _stores(place):
    parsed = parse_place(place)
    images = open_index(place)._record.images
    return sorted(
        pathlib.Path(f"{parsed.uri}.local").glob(f"{images}/*.arrows")
    )


class _DeathError(Exception):
    pass


def test_a_commit_that_was_cut_off_is_told_and_repeated(place, monkeypatch):
    _fill(place, 4)
    writer = open_writer(place)
    writer.add(_batch({f"i{n}": n + 20 for n in range(3, 8)}), replace=True)
    database = writer._database

    def cut_off(collection):
        raise _DeathError

    with monkeypatch.context() as patch:
        # What is sent is sent; the process ends before it says so.
        patch.setattr(database, "flush", _only_record(database, cut_off))
        with pytest.raises(_DeathError):
            writer.commit()
    writer.close()
    index = open_index(place)
    assert any("--add --replace" in text for text in index.verify())
    generation = index.describe().generation
    with open_writer(place) as writer:
        writer.add(_batch({f"i{n}": n + 20 for n in range(3, 8)}), replace=True)
    assert index.refresh() and index.verify() == []
    assert index.describe().generation == generation + 1
    assert list(index.names) == [f"i{n}" for n in range(8)]
    assert index.metadata("i7")["version"] == 27


def _only_record(database, otherwise):
    flush = database.flush
    return lambda name: (otherwise if "_images_" in name else flush)(name)


@pytest.mark.parametrize("kind", ["int8", "hnsw"])
def test_kinds(free, kind):
    settings = IndexSettings(DIM, VectorOptions(kind))
    create_index(free, settings)
    rows = np.random.default_rng(0).normal(size=(300, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = [f"i{n}" for n in range(300)]
    with open_writer(free) as writer:
        writer.add(ImageBatch(names, rows))
    index = open_index(free)
    assert index.settings == settings
    assert index.describe().is_exact == (kind == "int8")
    found = index.search(rows[:50], 10)
    best = np.argsort(-(rows[:50] @ rows.T), kind="stable")[:, :10]
    assert list(index.names) == names
    same = [
        len({*found.names_of(row)} & {f"i{n}" for n in best[row]})
        for row in range(50)
    ]
    assert np.mean(same) > 9.5


@pytest.mark.parametrize("kind", ["float16", "ivfpq"])
def test_kinds_that_milvus_lite_lacks(free, kind):
    with pytest.raises(InputError, match=f"Milvus Lite has no {kind}"):
        create_index(free, IndexSettings(DIM, VectorOptions(kind)))
    assert not index_exists(free)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("milvus:x.db", "no place on Milvus"),
        ("milvus:x#c", "no place on Milvus"),
        ("milvus:x.db#a-b", "no place on Milvus"),
        ("milvus:x.db#", "no place on Milvus"),
        ("milvus+ftp://host/c", "no place on Milvus"),
        ("milvus+http://host:99999/c", "no place on Milvus"),
        ("milvus+http:///c", "no place on Milvus"),
        ("milvus+http://host/a/b", "no place on Milvus"),
        ("milvus+http://me:secret@host/c", "variable MILVUS_TOKEN"),
        ("milvus:x.db#c?shards=0", "shards must be a number from 1"),
        ("milvus:x.db#c?shards=1&shards=2", "each once"),
        ("milvus:x.db#c?token=x", "options are consistency, database"),
        ("milvus:x.db#c?consistency=x", "one of Strong, Bounded"),
        ("milvus:x.db#c?x", "x"),
        ("milvus:none.db#c", "does not exist"),
    ],
)
def test_bad_places(place, message):
    for opening in (open_index, open_writer):
        with pytest.raises(InputError, match=message) as caught:
            opening(place)
        assert "secret" not in str(caught.value)


def test_places_read_back():
    for text in (
        "milvus:a folder/x.db#c",
        "milvus+http://h:19530/c?local_store=%2Fshared%2Fa+b&shards=64",
        "milvus+https://h/c?consistency=Bounded&database=photos",
    ):
        assert parse_place(text).text == text
    assert (
        parse_place("milvus+http://h/c?local_store=/a/b").local_store == "/a/b"
    )


def test_what_only_milvus_refuses(place, file):
    writer = open_writer(place)
    vectors = {"descriptors": _vector(1)[None], "local": [unit_features(1, 16)]}
    for name, metadata, message in (
        ("a" * 5000, None, "more than 4096 bytes"),
        ("a", {"x": [[1]]}, "takes numbers"),
        ("a", {"x": [float("inf")]}, "infinite"),
        ("a", {"x": np.array([2**63], np.uint64)}, "no 64-bit number"),
        ("a", {"x": ["x" * 70_000]}, "65536 bytes"),
    ):
        with pytest.raises(InputError, match=message):
            writer.add(ImageBatch([name], **vectors, metadata=metadata))
    writer.add(ImageBatch(["a"], **vectors, metadata={"x": [float("nan")]}))
    writer.commit()
    writer.close()
    index = open_index(place)
    assert index.metadata("a") == {"x": None} and len(index) == 1
    with pytest.raises(InputError, match="exists already"):
        create_index(place, SETTINGS)
    with pytest.raises(InputError, match="no image 'x'"):
        index.local("x")
    with pytest.raises(InputError, match="does not exist"):
        open_index(f"milvus:{file}#other")
    # Another's collection is never touched.
    images = f"milvus:{file}#{index._record.images}"
    with pytest.raises(InputError, match="is no index of images"):
        open_writer(images)


def test_an_index_is_replaced_when_the_new_one_is_whole(place):
    _fill(place, 3)
    other = IndexSettings(DIM)
    with pytest.raises(_DeathError), replaced_index(place, other) as new:
        create = open_writer(new)
        create.add(ImageBatch(["new"], _vector(1)[None]))
        create.commit()
        create.close()
        raise _DeathError
    reader = open_index(place)
    assert len(reader) == 3
    stores = _stores(place)
    with replaced_index(place, other) as new, open_writer(new) as writer:
        writer.add(ImageBatch(["new"], _vector(1)[None]))
    assert reader.refresh() and list(reader.names) == ["new"]
    assert reader.settings == other
    assert stores and not any(path.exists() for path in stores)


def test_tools(tmp_path):
    features = tmp_path / "features"
    for number in range(4):
        path = features / f"i{number}.delg_global"
        angle = 0.1 * number
        descriptor = np.array([np.cos(angle), np.sin(angle)], np.float32)
        feature_io.write_global_descriptor(path, descriptor)
        feature_io.write_local_features(
            path.with_suffix(".delg_local"), unit_features(9, 32)
        )
    place = f"milvus:{tmp_path / 'file.db'}#photos"
    csv = tmp_path / "list.csv"
    csv.write_text("name,city\ni0,A\ni1,B\ni2,A\n")
    for tool, message, *flags in (
        (
            "build_index",
            "4 images added",
            f"--features_dir={features}",
            "--local_format=binary",
            f"--metadata_csv={csv}",
        ),
        (
            "search_features",
            "1 queries, 2 of 4",
            f"--query_features_dir={features}",
            "--query_names=i3",
            '--where=city == "A"',
            "--rerank",
            f"--output={tmp_path / 'results.npz'}",
        ),
        (
            "manage_index",
            "1 images removed, 3",
            "--command=remove",
            "--names=i1",
        ),
    ):
        done = run_tool(f"tools/{tool}.py", f"--index_dir={place}", *flags)
        assert done.returncode == 0, done.stderr
        assert message in done.stdout
    results = SearchResults.load(tmp_path / "results.npz")
    rows = [(row.image, row.inliers) for row in results.to_rows()]
    assert rows == [("i2", 9), ("i0", 9)]
    store = FeatureStore(features)
    summary = import_features(place, store, None, ImportOptions(add=True))
    assert (summary.added, summary.there) == (1, 3)
