"""CSV files of Google Landmarks v2, good and bad."""

import pytest

from delg_tf.common.errors import InputError
from delg_tf.data import gldv2_csv

TRAIN_HEADER = "id,url,landmark_id\n"


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        ("train", "", "is empty"),
        ("train", TRAIN_HEADER, "lists no images"),
        ("train", "id,url\na,u\n", "line 1: no column 'landmark_id'"),
        ("train", TRAIN_HEADER + "a,u,1\nb,u\n", "line 3: 2 fields"),
        ("train", TRAIN_HEADER + "a,u,1\nb,u,x\n", "line 3: landmark_id .*'x'"),
        ("train", TRAIN_HEADER + "a,u,-1\n", "line 2: landmark_id"),
        ("train", TRAIN_HEADER + '"\na",u,1\n,u,2\n', "line 4: the id is"),
        (
            "train",
            TRAIN_HEADER + "a,u,1\n\nb,u,1\na,u,2\n",
            "line 5: image a has landmark_id 2, but 1 in line 2",
        ),
        ("clean", "landmark_id,images\n3,\n", "line 2: landmark 3 has no"),
        ("clean", "landmark_id;images\n3;a b\n", "line 1: no column"),
        (
            "clean",
            "landmark_id,images\n3,a b\n4,c b\n",
            "line 3: image b has landmark_id 4, but 3 in line 2",
        ),
        ("test", "name\nx\n", "line 1: no column 'id'"),
    ],
)
def test_bad_csv_is_refused_with_its_line(tmp_path, read, content, message):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        getattr(gldv2_csv, f"read_{read}_csv")(path)
    assert str(path) in str(error.value)


def test_csv_rows_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(gldv2_csv, "CHUNK_ROWS", 3)
    path = tmp_path / "train.csv"
    rows = [(f"{i * 7919:0{3 + i}x}", i % 4) for i in range(8)]
    lines = [f'{name},"http://x/,y",{label}' for name, label in rows]
    lines.insert(5, lines[1])  # The same row twice does no harm.
    path.write_text("\ufeff" + TRAIN_HEADER + "\n".join(lines) + "\n")
    table = gldv2_csv.read_train_csv(path)
    assert [(i.decode(), int(n)) for i, n in zip(table.ids, table.labels)] == (
        rows
    )


def test_a_landmark_with_very_many_images(tmp_path):
    path = tmp_path / "train_clean.csv"
    names = [f"{i:016x}" for i in range(20000)]  # 340 kB in one field.
    path.write_text("landmark_id,images\n9," + " ".join(names) + "\n")
    assert gldv2_csv.read_clean_csv(path).ids.astype(str).tolist() == names
