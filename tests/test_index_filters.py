"""Filters: against Python on rows, and what is refused."""

import datetime
import math
import random

import pyarrow as pa
import pytest

from delg_tf.common.errors import InputError
from delg_tf.retrieval.index.filter_mask import filter_mask
from delg_tf.retrieval.index.filter_text import parse_filter
from delg_tf.retrieval.index.metadata_csv import read_metadata_csv

_ROWS = [
    {"label": n % 5, "height": n * 1.5, "city": c, "open": n % 3 == 0}
    for n, c in enumerate(["Paris", "Rome", "Oslo", "Paris Nord", "O'x"] * 4)
]
_TABLE = pa.Table.from_pylist(_ROWS)


def _passing(text, table=_TABLE):
    return filter_mask(parse_filter(text), table).nonzero()[0].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "label == 3",
        "label != 3 and height < 20",
        "5 < height <= 21.0",
        "3 >= label",
        'city == "Paris" or label in [1, 2] and not open',
        "open",
        "not (open or label == 0)",
        'city in ("Rome", "Oslo")',
        'city not in ["Rome"]',
        '"ri" in city',
        '"ri" not in city',
        'city == "O\'x"',
        "height > -1 and open == False",
        "label == 3.0",
        "label < 2.5",
    ],
)
def test_filters_equal_python(text):
    # Python itself says what the same text means.
    expected = [n for n, row in enumerate(_ROWS) if eval(text, {}, row)]
    assert expected and len(expected) < len(_ROWS)
    assert _passing(text) == expected


def test_functions_and_odd_columns():
    assert _passing('startswith(city, "Paris")') == _passing('"Paris" in city')
    assert _passing('contains(city, "ss")') == []
    table = pa.table({"of the landmark": ["a", "b"], "name": ["x", "y"]})
    assert _passing('column("of the landmark") == "b"', table) == [1]
    dates = pa.table({"day": [datetime.date(2020, 1, d) for d in (1, 2, 3)]})
    assert _passing('day > "2020-01-01"', dates) == [1, 2]


def test_nulls_pass_neither_a_condition_nor_its_negation():
    table = pa.table({"a": [1, None, 2], "b": [None, None, True]})
    assert _passing("a == 1", table) == [0]
    assert _passing("not a == 1", table) == [2]
    assert _passing("a != 1", table) == [2]
    assert _passing("a is None", table) == _passing("a == None", table) == [1]
    assert _passing("a is not None", table) == [0, 2]
    assert _passing("a == 1 or b", table) == [0, 2]
    nothing = pa.table({"a": pa.nulls(2)})
    for text in ('a == "x"', "a < 1", '"x" in a', "a in [1]"):
        assert _passing(text, nothing) == []


def test_distances_equal_the_cosine_rule():
    rng = random.Random(0)
    places = [(rng.uniform(-90, 90), rng.uniform(-180, 180)) for _ in range(99)]
    table = pa.table(
        {
            "latitude": [*(p[0] for p in places), None],
            "longitude": [*(p[1] for p in places), 0.0],
        }
    )
    # Across the date line, too.
    for there in ((48.86, 2.29), (-60.0, 179.0)):
        distances = []
        for place in places:
            (a, b), (c, d) = (map(math.radians, p) for p in (place, there))
            cosine = math.sin(a) * math.sin(c)
            cosine += math.cos(a) * math.cos(c) * math.cos(b - d)
            distances.append(6371.0088 * math.acos(cosine))
        expected = [n for n, d in enumerate(distances) if d <= 5000]
        assert expected
        text = f"near({there[0]}, {there[1]}, 5000)"
        assert _passing(text, table) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid syntax"),
        ("label ==", "invalid syntax"),
        ("label = 3", "syntax"),
        ("__import__('os').system('x')", "is no condition"),
        ("label + 1 == 2", "no column"),
        ("1 == 1", "'1' is no column"),
        ("label == city", "no text in quotes"),
        ("label is 3", "`is` is for None"),
        ("label in []", "is empty"),
        ("label in city", "no text in quotes"),
        ("near(1, 2)", r"write near\("),
        ("near(100, 2, 1)", "degrees"),
        ("near(1, 2, -1)", "0 or more"),
        ("startswith(city)", r"write startswith\("),
        ("city == b'x'", "no text in quotes"),
        ("(" * 500 + "open" + ")" * 500, "The filter"),
        ("age == 3", "no column 'age'; it has 'label', 'height', 'city'"),
        ('label == "3"', "'label' holds int64; it cannot be compared with '3'"),
        ("city < 3", "'city' holds string"),
        ("open == 1", "'open' holds bool"),
        ('"x" in label', "'label' holds no text"),
        ("near(1, 2, 3)", "no column 'latitude'"),
    ],
)
def test_refused_filters(text, message):
    with pytest.raises(InputError, match=message):
        _passing(text)


def test_csv(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "path,landmark name,latitude,seen\n"
        'a/b.jpg,"Tower, old",48.5,2020-01-31\nc.jpg,,,\n'
    )
    table = read_metadata_csv(path)
    assert table.names == ["a/b", "c"]
    assert table.of(["c", "x", "a/b"]).to_pylist()[1:] == [
        {
            "path": None,
            "landmark name": None,
            "latitude": None,
            "seen": None,
        },
        {
            "path": "a/b.jpg",
            "landmark name": "Tower, old",
            "latitude": 48.5,
            "seen": datetime.date(2020, 1, 31),
        },
    ]
    for text, message in (
        ("a,b\n1,2\n", "neither a column 'name' nor 'path'.*'a', 'b'"),
        ("name,x\na,1\na,2\n", "same image: a"),
        ("name,x\n,1\n", "row 1 names no image"),
        ("name,x\na,1,2\n", "is no CSV file.*2 columns, got 3"),
        ("", "is no CSV file"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_metadata_csv(path)
