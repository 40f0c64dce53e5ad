import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.data.oxford import (
    PARIS_DAMAGED,
    list_index_names,
    load_oxford_ground_truth,
)
from delg_tf.data.revisited import protocol_labels
from delg_tf.evaluation.metrics.oxford import evaluate_oxford
from delg_tf.evaluation.revisited import evaluate
from delg_tf.retrieval.results import SearchResults

# The query of the first is the official first line of Oxford5k.
_FILES = {
    "all_souls_1_query.txt": "oxc1_all_souls_000013 136.5 34.1 648.5 955.7\n",
    "all_souls_1_good.txt": "all_souls_000013\nall_souls_000026\n",
    "all_souls_1_ok.txt": "oxford_002985\n\nall_souls_000026\n",
    "all_souls_1_junk.txt": "oxford_000001",
    "defense_1_query.txt": "paris_defense_000605 0 0 10 20.25\n",
    "defense_1_good.txt": "paris_defense_000605\n",
    "defense_1_ok.txt": "",
    "defense_1_junk.txt": "paris_louvre_000136\nparis_general_000002\n",
}
_INDEX = (
    "oxford_000001",
    "all_souls_000026",
    "all_souls_000013",
    "paris/defense/paris_defense_000605",
    "oxford_002985",
    "paris/general/paris_general_000002",
    "other",
)


@pytest.fixture
def folder(tmp_path):
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_ground_truth(folder):
    truth = load_oxford_ground_truth(folder, _INDEX)
    assert truth.index_names == _INDEX
    assert truth.query_names == ("all_souls_000013", _INDEX[3])
    first, second = truth.queries
    assert first.bbx == (136.5, 34.1, 648.5, 955.7)
    assert [ids.tolist() for ids in (first.easy, first.hard, first.junk)] == [
        [1, 2, 4],
        [],
        [0],
    ]
    assert [second.easy.tolist(), second.junk.tolist()] == [[3], [5]]
    # A damaged image counts where the index has it.
    more = (*_INDEX, "paris_louvre_000136")
    assert load_oxford_ground_truth(folder, more).queries[1].junk.tolist() == [
        5,
        7,
    ]


def test_whole_rankings_have_one_average_precision(folder):
    truth = load_oxford_ground_truth(folder, _INDEX)
    rng = np.random.default_rng(0)
    ranks = np.array([rng.permutation(7), rng.permutation(7)])
    places = np.tile(np.linspace(1, 0, 7), (2, 1))
    results = SearchResults(truth.query_names, _INDEX, ranks, places)
    labels = [protocol_labels(query, "easy") for query in truth.queries]
    actual = evaluate_oxford(
        ranks, [row.positives for row in labels], [row.junk for row in labels]
    )
    theirs = evaluate(results, truth, (1,), ("easy",))["easy"]
    assert (100 * actual.average_precision).tolist() == pytest.approx(
        theirs["per_query_ap"]
    )
    assert 100 * actual.mean_average_precision == pytest.approx(theirs["mAP"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("1_query.txt", "", "must have one line, .* has 0"),
        ("1_query.txt", "a 1 2 3 4\nb 1 2 3 4", "one line, .* has 2"),
        ("1_query.txt", "a 1 2 3", "line 1: .* got 3 numbers"),
        ("1_query.txt", "\na 1 2 x 4", "line 2: x2 must be .* 'x'"),
        ("1_query.txt", "a 1 nan 3 4", "line 1: y1 must be .* 'nan'"),
        ("1_query.txt", "a 3 2 1 4", "line 1: the box 3 2 1 4 is empty"),
        ("1_query.txt", "a -9 -9 -1 4", "outside"),
        ("1_query.txt", "paris_defense_000605 1 2 3 4", "query image of"),
        ("1_good.txt", "other\nnobody", "line 2: .* image nobody, .* is none"),
        ("1_ok.txt", "other\noxford_000001", "line 1: .* is junk, but posit"),
        ("1_ok.txt", "other\n\xff", "line 2: no UTF-8"),
        ("1_junk.txt", "other\nother\nall_souls_000026", "3: .* but positive"),
    ],
)
def test_bad_ground_truth(folder, name, text, message):
    path = folder / f"all_souls_{name}"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=message) as caught:
        load_oxford_ground_truth(folder, _INDEX)
    assert str(folder / "all_souls_1_") in str(caught.value)


def test_missing_ground_truth(folder):
    with pytest.raises(InputError, match="one index image other"):
        (folder / "defense_1_ok.txt").write_text("other")
        load_oxford_ground_truth(folder, ("a/other", "b/other", *_INDEX[:-1]))
    (folder / "all_souls_1_ok.txt").unlink()
    with pytest.raises(InputError, match=r"list of ok images .*souls_1_ok"):
        load_oxford_ground_truth(folder, _INDEX)
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="no ground truth of Oxford5k"):
        load_oxford_ground_truth(folder / "empty", _INDEX)


def test_index_names(tmp_path):
    images = tmp_path / "jpg"
    (images / "paris" / "louvre").mkdir(parents=True)
    for name in ("b.jpg", "a.JPG", "notes.txt", "paris/louvre/c.d.png"):
        (images / name).write_bytes(b"")
    # Its page lists twenty.
    assert len(PARIS_DAMAGED) == 20
    (images / "paris" / "louvre" / "paris_louvre_000136.jpg").write_bytes(b"")
    names = ("a", "b", "paris/louvre/c.d")
    assert list_index_names(images) == names
    listed = tmp_path / "list.txt"
    listed.write_text("b.jpg\r\n\npart/a.png\nc.d")
    assert list_index_names(listed) == ("b", "part/a", "c.d")
    listed.write_text("b.jpg\nb\n")
    with pytest.raises(InputError, match=r"line 2: the image b .*line 1"):
        list_index_names(listed)
    listed.write_text("\n")
    with pytest.raises(InputError, match="has no images"):
        list_index_names(listed)
    (images / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"b\.png: the image b comes twice"):
        list_index_names(images)
    with pytest.raises(InputError, match="nowhere does not exist"):
        list_index_names(tmp_path / "nowhere")
