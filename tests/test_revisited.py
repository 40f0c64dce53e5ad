import os
import pickle

import numpy as np
import pytest
import scipy.io

from delg_tf.common.errors import InputError
from delg_tf.data import revisited


def _ids(*values):
    return np.array(values, np.int64)


def _ground_truth():
    return revisited.RevisitedGroundTruth(
        query_names=("q_all", "q_single", "q_é"),
        index_names=tuple(f"sub/image_{i}.v1" for i in range(300)),
        queries=(
            revisited.RevisitedQuery(
                _ids(3, 299), _ids(7), _ids(0, 9, 4), (1.5, 2.0, 30.25, 40.0)
            ),
            revisited.RevisitedQuery(_ids(5), _ids(), _ids()),
            revisited.RevisitedQuery(_ids(), _ids(1, 2), _ids(3)),
        ),
    )


def _assert_equal(actual, expected):
    assert actual.query_names == expected.query_names
    assert actual.index_names == expected.index_names
    assert len(actual.queries) == len(expected.queries)
    for a, e in zip(actual.queries, expected.queries):
        assert a.bbx == e.bbx
        for field in ("easy", "hard", "junk"):
            assert getattr(a, field).dtype == np.int64
            np.testing.assert_array_equal(getattr(a, field), getattr(e, field))


@pytest.mark.parametrize("suffix", [".mat", ".pkl"])
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"new/gnd{suffix}"
    revisited.save_ground_truth(_ground_truth(), path)
    _assert_equal(revisited.load_ground_truth(path), _ground_truth())
    with pytest.raises(InputError, match="exists already"):
        revisited.save_ground_truth(_ground_truth(), path)


def test_written_files_are_the_official_formats(tmp_path):
    for name in ("gnd.mat", "gnd.pkl"):
        revisited.save_ground_truth(_ground_truth(), tmp_path / name)
    # The way the official evaluation reads them: ids from 1 in MATLAB.
    mat = scipy.io.loadmat(tmp_path / "gnd.mat")
    assert mat["qimlist"][0, 0][0] == "q_all"
    assert mat["imlist"].shape == (1, 300)
    entry = mat["gnd"][0, 0]
    assert entry["easy"].tolist() == [[4, 300]]
    assert entry["junk"].tolist() == [[1, 10, 5]]
    assert entry["bbx"].tolist() == [[1.5, 2.0, 30.25, 40.0]]
    assert mat["gnd"][0, 1]["hard"].size == 0
    content = pickle.loads((tmp_path / "gnd.pkl").read_bytes())
    assert content["qimlist"] == ["q_all", "q_single", "q_é"]
    assert content["gnd"][0]["junk"].tolist() == [0, 9, 4]
    assert content["gnd"][0]["bbx"] == [1.5, 2.0, 30.25, 40.0]


def test_matlab_variants(tmp_path):
    # Small integer types, a character matrix with padding, one query only.
    gnd = np.empty(
        (1, 1), dtype=[(f, object) for f in ("easy", "hard", "junk")]
    )
    gnd[0, 0] = (
        np.array([[1], [2]], np.uint8),
        np.uint8(3),
        np.zeros((0, 0)),
    )
    scipy.io.savemat(
        tmp_path / "gnd.mat",
        {"gnd": gnd, "imlist": ["a", "bcd.jpg", "e.JPG"], "qimlist": "query"},
    )
    actual = revisited.load_ground_truth(tmp_path / "gnd.mat")
    expected = revisited.RevisitedGroundTruth(
        ("query",),
        ("a", "bcd", "e"),
        (revisited.RevisitedQuery(_ids(0, 1), _ids(2), _ids()),),
    )
    _assert_equal(actual, expected)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles_of_other_writers(tmp_path, protocol):
    content = {
        "imlist": ["a.jpg", "b"],
        "qimlist": ["q"],
        "gnd": [
            {
                "bbx": np.array([0.0, 0.0, 2.0, 2.0]),
                "easy": [1],
                "hard": np.array([np.int64(0)], dtype=object),
                "junk": np.array([]),
                "ok": "not read",
            }
        ],
    }
    data = pickle.dumps(content, protocol=protocol)
    if protocol < 4:
        # The official files name the module as NumPy 1 had it.
        assert b"numpy._core" in data
        data = data.replace(b"numpy._core", b"numpy.core")
    (tmp_path / "gnd.pkl").write_bytes(data)
    actual = revisited.load_ground_truth(tmp_path / "gnd.pkl")
    expected = revisited.RevisitedGroundTruth(
        ("q",),
        ("a", "b"),
        (revisited.RevisitedQuery(_ids(1), _ids(0), _ids(), (0, 0, 2, 2)),),
    )
    _assert_equal(actual, expected)


class _Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickle_does_not_run_code(tmp_path):
    harmed = tmp_path / "harmed"
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(_Evil(str(harmed))))
    with pytest.raises(InputError, match="mkdir is not allowed"):
        revisited.load_ground_truth(tmp_path / "gnd.pkl")
    assert not harmed.exists()


def test_protocols():
    # Values of the official dataset_test.py.
    queries = [
        revisited.RevisitedQuery(_ids(10, 56, 100), _ids(0), _ids(6, 90)),
        revisited.RevisitedQuery(_ids(), _ids(5), _ids(99, 100)),
        revisited.RevisitedQuery(_ids(33), _ids(66, 99), _ids()),
    ]
    expected = {
        "easy": [
            ([10, 56, 100], [6, 90, 0]),
            ([], [99, 100, 5]),
            ([33], [66, 99]),
        ],
        "medium": [
            ([10, 56, 100, 0], [6, 90]),
            ([5], [99, 100]),
            ([33, 66, 99], []),
        ],
        "hard": [
            ([0], [6, 90, 10, 56, 100]),
            ([5], [99, 100]),
            ([66, 99], [33]),
        ],
    }
    for protocol, pairs in expected.items():
        for query, (positives, junk) in zip(queries, pairs):
            labels = revisited.protocol_labels(query, protocol)
            assert labels.positives.tolist() == positives
            assert labels.junk.tolist() == junk
    with pytest.raises(ValueError, match="protocol"):
        revisited.protocol_labels(queries[0], "Easy")


_GOOD = {
    "imlist": ["a", "b"],
    "qimlist": ["q"],
    "gnd": [{"easy": [0], "hard": [1], "junk": [], "bbx": [0, 0, 9, 9]}],
}


def _with_entry(**changes):
    entry = {**_GOOD["gnd"][0], **changes}
    return {**_GOOD, "gnd": [{k: v for k, v in entry.items() if v != "gone"}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"imlist": ["a"], "gnd": []}, "`qimlist` is missing"),
        ({**_GOOD, "imlist": ["a", "a.jpg"]}, "`imlist` lists a 2 times"),
        ({**_GOOD, "imlist": []}, "`imlist` is empty"),
        ({**_GOOD, "imlist": ["a", 3]}, "`imlist` must list names, got 3"),
        ({**_GOOD, "gnd": []}, "0 entries for 1 queries"),
        ({**_GOOD, "gnd": [5]}, "query q: `gnd` must hold a structure"),
        (_with_entry(hard="gone"), "query q: field `hard` is missing"),
        (_with_entry(easy=[2]), "query q: field `easy` names image 2"),
        (_with_entry(easy=[-1]), "query q: field `easy` names image -1"),
        (_with_entry(easy=[0.5]), "query q: field `easy` must hold whole"),
        (_with_entry(easy=["x"]), "query q: field `easy` must hold numbers"),
        (_with_entry(junk=[1]), "image 1 .* `junk` and in field `hard`"),
        (_with_entry(bbx=[0, 0, 9]), "query q: field `bbx` must hold x1"),
        (_with_entry(bbx=[5, 0, 5, 9]), "query q: field `bbx` is empty"),
        (_with_entry(bbx=[-9, 0, -1, 9]), "`bbx` is outside the image"),
        (_with_entry(bbx=[0, 0, float("nan"), 9]), "`bbx` must hold finite"),
        ([1, 2], "must hold a dictionary"),
    ],
)
def test_contradictions_are_named(tmp_path, content, message):
    path = tmp_path / "gnd.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        revisited.load_ground_truth(path)
    assert str(path) in str(caught.value)


def test_good_content_of_the_test_above_loads(tmp_path):
    path = tmp_path / "gnd.pkl"
    path.write_bytes(pickle.dumps(_GOOD))
    assert revisited.load_ground_truth(path).queries[0].bbx == (0, 0, 9, 9)


def test_damaged_files(tmp_path):
    revisited.save_ground_truth(_ground_truth(), tmp_path / "good.mat")
    whole = (tmp_path / "good.mat").read_bytes()
    for name, data in (
        ("cut.mat", whole[:-700]),
        ("text.mat", b"not MATLAB"),
        ("cut.pkl", pickle.dumps(_GOOD)[:-20]),
        ("empty.pkl", b""),
        ("gnd.json", b"{}"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            revisited.load_ground_truth(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        revisited.load_ground_truth(tmp_path / "none.mat")
