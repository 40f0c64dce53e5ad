import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.data.label_table import read_label_table
from delg_tf.features import feature_io
from delg_tf.features.local_features import LocalFeatures
from delg_tf.retrieval.feature_store import FeatureStore
from delg_tf.retrieval.prediction_csv import write_retrieval_csv
from delg_tf.retrieval.ranking.config import QueryExpansion, RankingConfig
from delg_tf.retrieval.recognition import run
from delg_tf.retrieval.recognition.labels import read_index_labels
from delg_tf.retrieval.recognition.votes import (
    NO_CLASS,
    RecognitionConfig,
    image_scores,
    predict_classes,
)
from delg_tf.retrieval.rerank import RerankConfig
from delg_tf.retrieval.results import SearchResults
from delg_tf.retrieval.search import index_features


def test_votes_of_images_by_hand():
    config = RecognitionConfig()
    cosines = np.array([[0.8, 0.4, -0.4, -1.0]])
    actual = image_scores(cosines, np.array([[35, 700, 0, 0]]), config)
    np.testing.assert_allclose(actual, [[0.5 + 0.2, 1 + 0.1, -0.1, np.nan]])
    alone = image_scores(cosines, None, config)
    np.testing.assert_allclose(alone, [[0.8, 0.4, -0.4, np.nan]])


def test_classes_have_the_votes_of_all_their_images():
    scores = np.array(
        [
            [0.9, 0.5, 0.5, 0.1],  # 7: 0.9; 2: 1.0
            [0.5, 0.5, np.nan, 0.25],  # equal: the one ranked first
            [0.5, 0.5, 0.5, 0.5],  # images without a label have no say
            [np.nan] * 4,
            [0.1, 0.1, 0.1, 0.1],
        ]
    )
    labels = np.array(
        [[7, 2, 2, -1], [9, 3, 3, -1], [-1, -1, -1, 0], [1] * 4, [4] * 4]
    )
    classes, confidences = predict_classes(scores, labels)
    assert classes.tolist() == [2, 9, 0, NO_CLASS, 4]
    np.testing.assert_allclose(confidences, [1.0, 0.5, 0.5, 0, 0.4])
    classes, confidences = predict_classes(scores, labels, 0.5)
    assert classes.tolist() == [2, 9, 0, NO_CLASS, NO_CLASS]
    assert confidences[4] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,url,landmark_id\nb,u,30\na,u,4\n", {"a": "4", "b": "30"}),
        ("landmark_id,images\n30,b c\n4,a\n", {"a": "4", "c": "30"}),
        ("id,label\nx/b,Big Ben\na,Rome\n", {"x/b": "Big Ben", "a": "Rome"}),
        ("path,label\nx/b.jpg,30\n./a.png,4\n", {"x/b": "30", "a": "4"}),
    ],
)
def test_label_tables(tmp_path, text, expected):
    (tmp_path / "labels.csv").write_text(text)
    table = read_label_table(tmp_path / "labels.csv")
    found = table.find([name.encode() for name in expected])
    assert [table.classes[i] for i in found] == list(expected.values())
    assert table.find([b"zz", b"", b"aa"]).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,url\na,b\n", "line 1: no known kind of label file"),
        ("id,label\na,1\na,2\n", "line 3: image a has label '2', but '1'"),
        ("id,label\na,\n", "line 2: the id or label is empty"),
        ("id,label\n", "lists no images"),
        ("id,label\nz,1\n", "no label of any of the 1 images of the index"),
        ("id,label\na,Big Ben\n", "'Big Ben' cannot be a class"),
    ],
)
def test_bad_labels(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_index_labels(tmp_path / "labels.csv", ["a"])


def _local(seed):
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(40, 64))
    return LocalFeatures(
        locations=rng.uniform(0, 300, (40, 2)),
        descriptors=descriptors
        / np.linalg.norm(descriptors, axis=1, keepdims=True),
        scales=np.ones(40),
        attention=np.ones(40),
        orientations=np.zeros(40),
    )


@pytest.fixture
def features(tmp_path):
    """Index images at 0, 10, .. 50 degrees; all but q3 at 0 degrees.

    q0 shows what a/i5 does, q1 what a/i0 does; q2 nothing; q3 has no features.
    """
    degrees = {f"index/a/i{n}": 10 * n for n in range(6)}
    degrees |= {f"query/b/q{n}": 0 for n in range(4)}
    seeds = {name: seed for seed, name in enumerate(degrees)}
    seeds["query/b/q0"] = seeds["index/a/i5"]
    seeds["query/b/q1"] = seeds["index/a/i0"]
    for name, angle in degrees.items():
        radians = np.radians(angle)
        descriptor = np.array([np.cos(radians), np.sin(radians)])
        local = _local(seeds[name])
        if name.endswith("q3"):
            descriptor, local = np.zeros(0), LocalFeatures.empty()
        path = tmp_path / name
        feature_io.write_global_descriptor(f"{path}.delg_global", descriptor)
        feature_io.write_local_features(f"{path}.delg_local", local)
    (tmp_path / "train.csv").write_text(
        "id,url,landmark_id\ni0,,10\ni1,,20\ni2,,20\ni3,,30\ni5,,50\n"
    )
    return tmp_path


def _recogniser(folder, **more):
    store = FeatureStore(folder / "index")
    index = index_features(store)
    labels = read_index_labels(folder / "train.csv", index.names)
    queries = FeatureStore(folder / "query")
    return run.Recogniser(index, labels, queries, store, **more)


def _lines(path):
    return path.read_text().splitlines()


def _cos(*degrees):
    return sum(np.cos(np.radians(degrees)))


def test_prediction_file(features):
    output = features / "out" / "prediction.csv"
    recogniser = _recogniser(
        features,
        config=RecognitionConfig(num_votes=4, threshold=0.3),
        reranking=RerankConfig(),
    )
    assert run.recognise_features(recogniser, output) == 3
    # The images with inliers move up; i4 has no label. All of 40 features are
    # inliers: 40/70. Without any, 20 has two votes.
    assert _lines(output) == [
        "id,landmarks",
        f"q0,50 {40 / 70 + 0.25 * _cos(50):.6f}",
        f"q1,10 {40 / 70 + 0.25:.6f}",
        f"q2,20 {0.25 * _cos(10, 20):.6f}",
        "q3,",
    ]
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    with pytest.raises(InputError, match="exists already"):
        run.recognise_features(recogniser, output)


def test_prediction_without_local_features(features):
    output = features / "prediction.csv"
    for path in features.rglob("*.delg_local"):
        path.unlink()
    recogniser = _recogniser(features)
    run.recognise_features(recogniser, output, ["b/q1"], full_names=True)
    assert _lines(output)[1] == f"b/q1,20 {_cos(10, 20):.6f}"
    with pytest.raises(InputError, match=r"4 files .*delg_local"):
        run.recognise_features(
            _recogniser(features, reranking=RerankConfig()),
            features / "none.csv",
        )


def test_recognition_goes_on_where_it_stopped(features, monkeypatch):
    monkeypatch.setattr(run, "QUERIES_A_BLOCK", 1)
    done, predict = [], run.Recogniser.predict

    def fail_at_third(self, names, ranker):
        if len(done) == 2:
            raise OSError("power cut")
        done.extend(names)
        return predict(self, names, ranker)

    output = features / "out" / "prediction.csv"
    monkeypatch.setattr(run.Recogniser, "predict", fail_at_third)
    with pytest.raises(OSError, match="power cut"):
        run.recognise_features(_recogniser(features), output)
    assert not output.exists()
    done.append("from now on")
    # Other settings do not take what these have left.
    ranking = RankingConfig(QueryExpansion(1))
    other = features / "other" / output.name
    (features / "out").rename(features / "other")
    run.recognise_features(_recogniser(features, ranking=ranking), other)
    assert done[3:] == ["b/q0", "b/q1", "b/q2", "b/q3"]
    (features / "other").rename(features / "out")
    output.unlink()
    run.recognise_features(_recogniser(features), output)
    assert done[7:] == ["b/q2", "b/q3"]
    whole = features / "whole.csv"
    monkeypatch.setattr(run, "QUERIES_A_BLOCK", 256)
    run.recognise_features(_recogniser(features), whole)
    assert _lines(output) == _lines(whole)


def test_retrieval_prediction(tmp_path):
    ranks = np.array([[2, 0, 1], [1, 2, 0]])
    results = SearchResults(
        ("q/a", "q/b"), ("x/i0", "x/i1", "y/i2"), ranks, np.zeros((2, 3))
    )
    path = tmp_path / "out.csv"
    write_retrieval_csv(path, results)
    assert path.read_text() == "id,images\na,i2 i0 i1\nb,i1 i2 i0\n"
    write_retrieval_csv(path, results, overwrite=True, full_names=True)
    assert _lines(path)[1] == "q/a,y/i2 x/i0 x/i1"
    with pytest.raises(InputError, match="exists already"):
        write_retrieval_csv(path, results)
    many = np.arange(150)[None]
    names = tuple(map(str, range(150)))
    write_retrieval_csv(
        tmp_path / "many.csv", SearchResults(("q",), names, many, many * 1.0)
    )
    assert len(_lines(tmp_path / "many.csv")[1].split()) == 100
    for names, message in (
        (("x/i", "y/i", "z"), "'i'. Pass --full_names"),
        (("x", "y", "a b"), "'a b' cannot stand"),
    ):
        bad = SearchResults(("q",), names, ranks[:1], np.zeros((1, 3)))
        with pytest.raises(InputError, match=message):
            write_retrieval_csv(tmp_path / "bad.csv", bad)


@pytest.mark.parametrize("field", ["num_votes", "max_inliers"])
def test_bad_settings(field):
    with pytest.raises(InputError, match=field):
        RecognitionConfig(**{field: 0})
    with pytest.raises(InputError, match="similarity_weight"):
        RecognitionConfig(similarity_weight=-1)
