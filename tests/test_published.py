"""Numbers of others, as the sources have them."""

import pytest

from delg_tf.common.errors import InputError
from delg_tf.evaluation import published as module
from delg_tf.evaluation.published import published, published_rows


def test_known_numbers():
    """As the DELG paper's table 3 and the released code's README have them."""
    rows = {
        (row.name, row.source.partition(",")[0]): row.values
        for row in published_rows(published("roxford5k", metric="mAP"))
    }
    delg = "DELG re-ranked, ResNet-50, GLDv2-clean †", "DELG paper"
    assert rows[delg] == {"medium": 78.3, "hard": 57.9}
    code = "DELG global, released code, ResNet-50, GLDv1", "tensorflow/models"
    assert rows[code] == {"medium": 69.71, "hard": 45.11}
    with_r1m = published("rparis6k+r1m", "hard")
    found = [r.value for r in with_r1m if r.name == delg[0].removesuffix(" †")]
    assert found == [45.7]
    (row,) = published_rows(
        [
            r
            for r in published("roxford5k", "hard")
            if r.value in (53.72, 91.43)
        ],
        "metric",
    )
    assert row.values == {"mAP": 53.72, "mP@1": 91.43}
    assert "queries cropped" in row.source


def test_what_is_doubtful_is_marked():
    every = published()
    assert {r.verification for r in every} == set(module.VERIFICATIONS)
    # Of GLDv2 retrieval nobody has looked at the paper.
    delg = [r for r in published("gldv2", "retrieval") if "DELG" in r.method]
    assert len(delg) == 4 and not published("gldv2", "retrieval", verified=True)
    for row in published_rows(delg):
        assert row.name.endswith("†")
        assert "unverified (from memory, not looked up)" in row.source
    uncropped = [r for r in every if r.queries_cropped is False]
    assert all("not comparable" in r.source_text for r in uncropped)
    # Each cell of each table is unique, so that none is shown twice.
    for dataset in {r.dataset for r in every if r.dataset}:
        for metric in {r.metric for r in every}:
            published_rows(published(dataset, metric=metric))
    shares = [r for r in every if r.metric == "GAP" or r.metric[:2] in "mAmPmR"]
    assert len(shares) > 250 and all(0 < r.value <= 100 for r in shares)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.5", "many", "line 2: value is 'many'"),
        ("1.5", "nan", "line 2: value is 'nan'"),
        ("derived", "sure", "line 2: verification is 'sure'"),
        (",no,", ",no,,", "line 2: 12 fields"),
        (",no,", ",maybe,", "line 2: queries_cropped is 'maybe'"),
        ("there", "", "line 2: source is ''"),
        ("metric", "unit", "no column 'metric'"),
    ],
)
def test_damaged_files(tmp_path, old, new, message):
    path = tmp_path / "mine.csv"
    header = ",".join(module._COLUMNS)
    path.write_text(
        f"{header}\nM,,,d,hard,mAP,1.5,there,derived,no,\n".replace(old, new)
    )
    with pytest.raises(InputError, match=message):
        published(path=path)


def test_another_file(tmp_path):
    path = tmp_path / "mine.csv"
    header = ",".join(module._COLUMNS)
    path.write_text(f"{header}\nM,,,d,hard,mAP,1.5,there,derived,no,\n")
    (row,) = published_rows(published(path=str(path)))
    assert (row.name, row.values) == ("M †", {"hard": 1.5})
    with pytest.raises(ValueError, match="one number"):
        published_rows(published(path=str(path)) * 2)
