"""VLAD, ASMK and their files, against loops over the formulas and literals."""

import math

import faiss
import numpy as np
import pytest
import tensorflow as tf
from feature_files import unit_features

from delg_tf.aggregation.aggregator import Aggregator
from delg_tf.aggregation.assignment import nearest_words
from delg_tf.aggregation.codebook import Codebook, load_codebook
from delg_tf.aggregation.config import (
    extension_of,
    load_aggregation_config,
    parse_aggregation_config,
)
from delg_tf.aggregation.folder import AggregatedFolder
from delg_tf.aggregation.inverted_index import InvertedIndex
from delg_tf.aggregation.inverted_writer import write_inverted_index
from delg_tf.aggregation.learning import (
    KMeansOptions,
    draw_features,
    k_means,
    learn_codebook,
)
from delg_tf.aggregation.regions import read_index_mapping, regions_of_boxes
from delg_tf.aggregation.representation import (
    Aggregated,
    read_aggregated,
    serialize_aggregated,
    write_aggregated,
)
from delg_tf.aggregation.run import files_of_regions
from delg_tf.aggregation.similarity import similarity
from delg_tf.common.errors import InputError
from delg_tf.features.box_io import DetectedBoxes
from delg_tf.features.feature_io import write_local_features
from delg_tf.features.storage.choice import open_source
from delg_tf.features.storage.convert import convert_features
from delg_tf.protos import datum_pb2

TYPES = ("VLAD", "ASMK", "ASMK_STAR")
# The example of the official tests.
WORDS = np.array([[0.5, 0.5], [0, 0], [1, 0], [-0.5, -0.5], [0, 1]], "f")
POINTS = np.array([[1, 0], [-1, 0], [1, 2], [0, 2]], "f")


def make_config(kind, words, extra=""):
    size, depth = words.shape
    return parse_aggregation_config(
        f"aggregation_type: {kind} codebook_size: {size} "
        f"feature_dimensionality: {depth} {extra}"
    )


def make_aggregator(kind, words=WORDS, extra=""):
    return Aggregator(make_config(kind, words, extra), Codebook(words))


def slow_words(feature, words, count):
    distances = [
        (sum((float(a) - float(b)) ** 2 for a, b in zip(feature, word)), k)
        for k, word in enumerate(words)
    ]
    return [k for _, k in sorted(distances)[:count]]


def slow_vlad(features, words, count):
    vlad = np.zeros(words.shape)
    for feature in features:
        for k in slow_words(feature, words, count):
            vlad[k] += feature.astype(float) - words[k]
    return vlad


def unit(vector):
    return vector / math.sqrt(max((vector**2).sum(), 1e-12))


def slow_aggregate(features, words, kind, count, l2, regions):
    """The definitions, one feature and one word after the other."""
    if regions is None:
        vlad = slow_vlad(features, words, count)
        if kind == "VLAD":
            return (unit(vlad) if l2 else vlad).ravel(), None
    else:
        vlad = np.zeros(words.shape)
        for rows in regions:
            vlad += unit(slow_vlad(features[rows], words, count))
        if kind == "VLAD":
            return (unit(vlad) if l2 else vlad / len(regions)).ravel(), None
        vlad /= len(regions)
    kept = [k for k in range(len(words)) if np.linalg.norm(vlad[k]) > 1e-6]
    rows = np.array([unit(vlad[k]) for k in kept]).reshape(-1, words.shape[1])
    return rows, kept


def slow_similarity(first, second, kind, depth, alpha, tau, l2):
    if not len(first.words) or not len(second.words):
        return -1.0
    total = 0.0
    for word, row in zip(first.words.tolist(), first.descriptors):
        for other, column in zip(second.words.tolist(), second.descriptors):
            if word != other:
                continue
            if kind == "ASMK":
                inner = float(sum(a * b for a, b in zip(row, column)))
            else:
                different = sum(
                    bin(int(a) ^ int(b)).count("1") for a, b in zip(row, column)
                )
                bits = min(depth, 8) * len(row)
                inner = 1 - 2 * different / bits
            if inner > tau:
                total += math.copysign(abs(inner) ** alpha, inner)
    return (
        total / math.sqrt(len(first.words) * len(second.words)) if l2 else total
    )


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("l2", ["true", "false"])
@pytest.mark.parametrize("regional", [False, True])
def test_aggregation_follows_the_definitions(kind, count, l2, regional):
    rng = np.random.default_rng(3)
    words = rng.normal(size=(9, 12)).astype("f")
    features = unit_features(40, 12, seed=5).descriptors
    # Regions that overlap, one of them empty.
    rows = [np.arange(40), np.arange(7, 20), np.arange(0), np.array([3, 11])]
    regions = rows if regional else None
    extra = (
        f"num_assignments: {count} use_l2_normalization: {l2} "
        "feature_batch_size: 7 "
        f"use_regional_aggregation: {str(regional).lower()}"
    )
    found = make_aggregator(kind, words, extra).aggregate(features, regions)
    expected, kept = slow_aggregate(
        features, words, kind, count, l2 == "true", regions
    )
    if kind == "ASMK_STAR":
        np.testing.assert_array_equal(
            np.unpackbits(found.descriptors, axis=1)[:, :12], expected > 0
        )
        assert found.descriptors.dtype == np.uint8
        assert found.descriptors.shape[1] == 2
    else:
        np.testing.assert_allclose(found.descriptors, expected, 1e-6, 2e-6)
        assert found.descriptors.dtype == np.float32
    assert kept == (None if found.words is None else found.words.tolist())


def test_literals_of_the_official_tests():
    """Numbers of feature_aggregation_extractor_test.py, upstream."""
    vlad = make_aggregator("VLAD").aggregate(POINTS[:3]).descriptors
    np.testing.assert_allclose(
        vlad, [0] * 6 + [-0.316228, 0.316228, 0.632456, 0.632456], atol=1e-6
    )
    plain = "use_l2_normalization: false num_assignments: 3"
    vlad = make_aggregator("VLAD", extra=plain).aggregate(POINTS[:3])
    assert vlad.descriptors.tolist() == [1, 1, 0, 0, 0, 2, -0.5, 0.5, 0, 0]
    star = make_aggregator("ASMK_STAR").aggregate(POINTS[:3])
    assert star.descriptors.tolist() == [[64], [192]]
    assert star.words.tolist() == [3, 4]
    regional = "use_regional_aggregation: true"
    regions = [np.array([0, 1, 2]), np.array([3])]
    asmk = make_aggregator("ASMK", extra=regional).aggregate(POINTS, regions)
    np.testing.assert_allclose(
        asmk.descriptors.ravel(),
        [-0.707107, 0.707107, 0.361261, 0.932465],
        atol=1e-6,
    )
    mean = f"{regional} use_l2_normalization: false"
    regions = [np.arange(0), np.array([0, 1, 2]), np.arange(0), np.array([3])]
    vlad = make_aggregator("VLAD", extra=mean).aggregate(POINTS, regions)
    np.testing.assert_allclose(
        vlad.descriptors,
        [0] * 6 + [-0.079057, 0.079057, 0.158114, 0.408114],
        atol=1e-6,
    )


def test_similarity_literals_of_the_official_tests():
    rows = [0, 0, -0.707107, -0.707107, 0.5, 0.866025, 0.816497, 0.57735, 1, 0]
    first = Aggregated(np.array(rows, "f").reshape(5, 2), np.arange(5))
    rows = np.array([[0, 1], [1, 0], [0.707107, 0.707107]], "f")
    second = Aggregated(rows, np.array([1, 2, 4]))
    for l2, expected in (("true", 0.123562), ("false", 0.478554)):
        config = make_config("ASMK", WORDS, f"use_l2_normalization: {l2}")
        assert similarity(first, second, config) == pytest.approx(
            expected, abs=1e-5
        )
    first = Aggregated(np.array([[0], [0], [3], [3], [3]], "B"), np.arange(5))
    second = Aggregated(np.array([[1], [2], [3]], "B"), np.array([1, 2, 4]))
    # Two bits of a byte count, which these bytes have at the wrong end.
    config = make_config("ASMK_STAR", WORDS)
    assert similarity(first, second, config) == pytest.approx(
        0.258199, abs=1e-6
    )


def test_the_lower_of_equally_near_words_comes_first():
    rng = np.random.default_rng(0)
    words = rng.normal(size=(40, 24)).astype("f")
    words = np.concatenate([words, words[::-1], words[:3]])
    features = unit_features(60, 24, seed=1).descriptors
    for count in (1, 5):
        expected = [slow_words(f, words, count) for f in features]
        for batch in (0, 1, 9):
            found = nearest_words(features, words, count, batch)
            assert found.tolist() == expected
    with pytest.raises(ValueError, match="num_assignments"):
        nearest_words(features, words, 0)


@pytest.mark.parametrize("kind", ["ASMK", "ASMK_STAR"])
@pytest.mark.parametrize("depth", [5, 12, 64])
def test_inverted_index_scores_as_pairs_do(kind, depth, tmp_path, monkeypatch):
    rng = np.random.default_rng(depth)
    words = rng.normal(size=(17, depth)).astype("f") / 4
    extra = "alpha: 2 tau: -0.1 num_assignments: 2"
    aggregator = make_aggregator(kind, words, extra)
    counts = [0, 1, 3, 9, 30, 80, 2, 0, 14]
    images = {
        f"sub/{number}": aggregator.aggregate(
            unit_features(count, depth, seed=number).descriptors
        )
        for number, count in enumerate(counts)
    }
    path = tmp_path / "index"
    names = list(images)
    config = aggregator.config
    # Two or three images a block.
    monkeypatch.setattr("delg_tf.aggregation.inverted_writer._BLOCK", 900)
    write_inverted_index(path, names, images.get, config, "of a codebook")
    # Several parts for each query.
    monkeypatch.setattr("delg_tf.aggregation.inverted_index._POSTINGS", 7)
    index = InvertedIndex(path)
    assert (index.names, index.codebook_identity) == (
        tuple(names),
        "of a codebook",
    )
    for l2 in (True, False):
        config.use_l2_normalization = l2
        index.config.use_l2_normalization = l2
        for query in images.values():
            expected = [
                slow_similarity(query, image, kind, depth, 2, -0.1, l2)
                for image in images.values()
            ]
            np.testing.assert_allclose(index.scores(query), expected, atol=1e-5)
            pairs = [similarity(query, i, config) for i in images.values()]
            np.testing.assert_allclose(pairs, expected, atol=1e-5)
    assert np.min(expected) < 0 < np.max(expected)
    residuals = path / "residuals.npy"
    data = bytearray(residuals.read_bytes())
    data[-1] ^= 1
    residuals.write_bytes(data)
    with pytest.raises(InputError, match=r"residuals.npy is damaged"):
        InvertedIndex(path)
    residuals.write_bytes(data[:-depth])
    with pytest.raises(InputError, match=r"residuals.npy"):
        InvertedIndex(path, verify=False)


@pytest.mark.parametrize("regional", ["true", "false"])
def test_files_are_the_official_messages(regional, tmp_path):
    extensions = []
    for kind in TYPES:
        extra = f"use_regional_aggregation: {regional}"
        aggregator = make_aggregator(kind, extra=extra)
        config = aggregator.config
        extensions.append(extension_of(config))
        for points in (POINTS[:3], POINTS[:0]):
            image = aggregator.aggregate(points)
            path = tmp_path / f"image{extension_of(config)}"
            write_aggregated(path, image)
            data = path.read_bytes()
            if kind == "VLAD":
                datum = datum_pb2.DatumProto.FromString(data)
                assert list(datum.shape.dim) == [10]
            else:
                pair = datum_pb2.DatumPairProto.FromString(data)
                assert list(pair.first.shape.dim) == [image.descriptors.size]
                assert list(pair.second.uint32_list.value) == list(image.words)
            back = read_aggregated(path, config)
            np.testing.assert_array_equal(back.descriptors, image.descriptors)
            assert back.descriptors.dtype == image.descriptors.dtype
            if kind != "VLAD":
                np.testing.assert_array_equal(back.words, image.words)
    r = "r" if regional == "true" else ""
    assert extensions == [f".{r}vlad", f".{r}asmk", f".{r}asmk_star"]


def test_bytes_of_a_star_file():
    """Tags, lengths, shape [2], numbers 64 and 192; shape [2], words 3, 4."""
    image = make_aggregator("ASMK_STAR").aggregate(POINTS[:3])
    assert serialize_aggregated(image).hex() == (
        "0a0c0a030a01021a050a0340c001120b0a030a01021a040a020304"
    )


@pytest.fixture
def features(tmp_path):
    """A folder of five images, the last without features, one damaged."""
    folder = tmp_path / "features"
    for number in range(5):
        local = unit_features(50 if number < 4 else 0, 8, seed=number)
        write_local_features(folder / f"{number}.delg_local", local)
    (folder / "bad.delg_local").write_bytes(b"\xff" * 9)
    return folder


def test_k_means_finds_planted_clusters_again(tmp_path):
    rng = np.random.default_rng(1)
    centres = np.eye(6, dtype="f") * 4
    points = centres[rng.integers(0, 6, 900)]
    points = points + rng.normal(size=points.shape).astype("f") * 0.05
    found, error = k_means(points, KMeansOptions(6, iterations=8, redo=3))
    distance = np.linalg.norm(found[:, None] - centres[None], axis=2)
    assert sorted(distance.argmin(axis=1)) == list(range(6))
    assert distance.min(axis=1).max() < 0.03
    # Each point is 0.05 off in each of 6 directions.
    assert error == pytest.approx(6 * 0.05**2, rel=0.1)
    whole = faiss.Kmeans(6, 6, niter=8, seed=2)
    whole.train(points)
    again, _ = k_means(points, KMeansOptions(6, iterations=8, seed=2))
    np.testing.assert_array_equal(again, whole.centroids)
    with pytest.raises(InputError, match="900 features, but a codebook of 901"):
        k_means(points, KMeansOptions(901))


def test_a_codebook_is_the_same_from_every_place(features, tmp_path):
    options = KMeansOptions(7, iterations=5, max_features=60, seed=4)
    source = open_source(features)
    names = source.names("local")
    codebook, sample = learn_codebook(source, names, options)
    assert (sample.num_images, sample.num_features) == (5, 200)
    assert [name for name, _ in sample.skipped] == ["bad"]
    assert len(sample.descriptors) == 60
    assert codebook.origin["features_sha256"] == sample.identity
    store = tmp_path / "f.arrows"
    convert_features(features, store, "store")
    from_store, _ = learn_codebook(open_source(store), names[:5], options)
    assert from_store.identity == codebook.identity
    path = tmp_path / "codebook.npz"
    codebook.save(path)
    with pytest.raises(InputError, match="exists already"):
        codebook.save(path)
    back = load_codebook(path)
    np.testing.assert_array_equal(back.words, codebook.words)
    assert back.origin == codebook.origin


def test_every_feature_is_drawn_equally_often(features):
    source = open_source(features)
    names = [str(number) for number in range(5)]
    place = {}
    for name in names[:4]:
        for row in source.read_local(name).descriptors:
            place[row.tobytes()] = len(place)
    times = np.zeros(200)
    for seed in range(400):
        drawn = draw_features(source, names, 20, seed).descriptors
        rows = [place[row.tobytes()] for row in drawn]
        assert len(set(rows)) == 20
        times[rows] += 1
    # Binomial with mean 40 and deviation 6; no image is preferred.
    assert times.min() > 15 and times.max() < 70
    assert np.abs(times.reshape(4, 50).mean(axis=1) - 40).max() < 3


def test_official_codebooks_are_read(tmp_path):
    prefix = str(tmp_path / "codebook")
    tf.train.Checkpoint(codebook=tf.Variable(WORDS)).write(prefix)
    np.testing.assert_array_equal(load_codebook(prefix).words, WORDS)
    # As TF1's estimator of k-means wrote it.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("clusters", initializer=WORDS)
        session.run(variable.initializer)
        saver = tf.compat.v1.train.Saver([variable])
        prefix = saver.save(session, str(tmp_path / "tf1"))
    np.testing.assert_array_equal(load_codebook(prefix).words, WORDS)
    other = str(tmp_path / "other")
    tf.train.Checkpoint(x=tf.Variable(WORDS)).write(other)
    with pytest.raises(InputError, match="no variable `codebook`"):
        load_codebook(other)


def test_regions_are_the_features_on_the_pixels_of_a_box():
    y, x = np.mgrid[0:30, 0:40]
    locations = np.stack([y.ravel(), x.ravel()], axis=1).astype("f")
    box = [0.11, 0.2, 0.5, 0.99]
    boxes = DetectedBoxes([box, box, [0, 0, 1, 1]], [0.1, 0.09, 0.9], [0, 0, 0])
    whole, first, second = regions_of_boxes(locations, boxes, (30, 40))
    assert len(whole) == len(second) == 1200
    # What the official cropping keeps.
    image = np.arange(1200).reshape(30, 40)
    top, left = math.floor(0.11 * 30), math.floor(0.2 * 40)
    bottom, right = math.ceil(0.5 * 30), math.ceil(0.99 * 40)
    crop = image[top:bottom, left:right]
    assert first.tolist() == crop.ravel().tolist()


def test_regions_in_files_of_their_own(features, tmp_path):
    path = tmp_path / "mapping.csv"
    path.write_text(
        "name,index_image_id,box_id\n0,1,-1\n1,1,0\n4,1,1\n2,0,-1\n"
    )
    mapping = read_index_mapping(path, ["a", "b"])
    assert mapping == {"a": ["2"], "b": ["0", "1", "4"]}
    source = open_source(features)
    rows, regions = files_of_regions(source, mapping)("b")
    parts = [source.read_local(name).descriptors for name in ("0", "1")]
    np.testing.assert_array_equal(rows, np.concatenate(parts))
    assert [len(r) for r in regions] == [50, 50, 0]
    np.testing.assert_array_equal(rows[regions[1]], parts[1])
    with pytest.raises(InputError, match=r"line 2.*'1'"):
        read_index_mapping(path, ["a"])


def test_what_does_not_fit_is_told(features, tmp_path):
    with pytest.raises(InputError, match=r"have 8 numbers, the words .* 2"):
        make_aggregator("ASMK").aggregate(unit_features(3, 8).descriptors)
    with pytest.raises(InputError, match="5 words of 2 numbers"):
        Aggregator(parse_aggregation_config(""), Codebook(WORDS))
    with pytest.raises(InputError, match="does not exist"):
        load_codebook(tmp_path / "missing")
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="no readable codebook"):
        load_codebook(tmp_path / "c.npz")
    path = tmp_path / "config.pbtxt"
    for text, message in (
        ("codebook_size: 0", "codebook_size"),
        ("aggregation_type: INVALID", "aggregation_type"),
        ("num_assignments: 0", "num_assignments"),
        ("no_such_field: 1", "no_such_field"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=f"config.pbtxt.*{message}"):
            load_aggregation_config(path)
    with pytest.raises(InputError, match="aggregation_config_path"):
        AggregatedFolder(features)
    # Written by one configuration, read by another.
    image = make_aggregator("ASMK").aggregate(POINTS)
    path = tmp_path / "a.asmk"
    write_aggregated(path, image)
    for kind, words, message in (
        ("ASMK_STAR", WORDS, "float32"),
        ("ASMK", WORDS[:4], "below 4"),
        ("ASMK", np.ones((5, 3), "f"), "makes 3 a word"),
        ("VLAD", WORDS, "a.asmk"),
    ):
        with pytest.raises(InputError, match=message):
            read_aggregated(path, make_config(kind, words))
