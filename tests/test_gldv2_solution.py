import pytest

from delg_tf.common.errors import InputError
from delg_tf.data import gldv2_solution
from delg_tf.data.gldv2_solution import (
    read_recognition_predictions,
    read_recognition_solution,
    read_retrieval_predictions,
    read_retrieval_solution,
)
from delg_tf.evaluation.metrics.landmark_recognition import (
    evaluate_landmark_recognition,
)

# Of the official dataset_file_io_test.py, ids shortened.
_RECOGNITION = (
    "id,landmarks,Usage\n01,0 12,Public\n02,,Public\n03,100,Ignored\n"
    "04,1,Private\n05,,Ignored\n"
)
_GUESSES = "id,landmarks\n01,12 0.1 \n04,0 19.0\n02,\n\n05,14 0.01\n"
_RETRIEVAL = (
    "id,images,Usage\n01,None,Ignored\n02,f10 f00,Public\n03,f00,Private\n"
    "04,f20,Private\n05,None,Ignored\n"
)
_LISTS = "id,images\n01,f50 \n04,f60\n02,f10 f00 f20\n\n05,\n"


@pytest.fixture
def write(tmp_path):
    def write_text(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_text


def test_recognition_files_of_the_official_tests(write):
    solution = read_recognition_solution(write("s.csv", _RECOGNITION))
    assert solution.public == {"01": {0, 12}, "02": set()}
    assert solution.private == {"04": {1}}
    assert solution.ignored == {"03", "05"}
    guesses = read_recognition_predictions(write("p.csv", _GUESSES), solution)
    assert guesses.public == {"01": (12, 0.1)}
    assert guesses.private == {"04": (0, 19.0)}
    # The parts go straight into the metric.
    both = guesses.parts()
    assert {
        part: evaluate_landmark_recognition(both[part], landmarks).gap
        for part, landmarks in solution.parts().items()
    } == {"public": 1.0, "private": 0.0}


def test_retrieval_files_of_the_official_tests(write):
    solution = read_retrieval_solution(write("s.csv", _RETRIEVAL))
    assert solution.public == {"02": {"f10", "f00"}}
    assert solution.private == {"03": {"f00"}, "04": {"f20"}}
    assert solution.ignored == {"01", "05"}
    path = write("p.csv", _LISTS)
    lists = read_retrieval_predictions(path, solution)
    assert lists.public == {"02": ("f10", "f00", "f20")}
    assert lists.private == {"04": ("f60",)}
    # Other columns and another order do not matter.
    text = "Usage,note,images,id\nPublic,x,b a,q\n"
    assert read_retrieval_solution(write("o.csv", text)).parts() == {
        "public": {"q": {"a", "b"}}
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("recognition_solution", "id,landmarks\n1,2\n", "1: no column 'Usage'"),
        ("recognition_solution", "1,2,Public\n", "line 1: no column 'id'"),
        ("recognition_solution", "", "is empty"),
        ("recognition_solution", "+1,2,Public,x\n", "line 7: 4 fields"),
        ("recognition_solution", "+09,2,public\n", "7: Usage .* 'public'"),
        ("recognition_solution", "+09,2 x,Public\n", "7: .* landmarks .* 'x'"),
        ("recognition_solution", "+09,-1,Public\n", "7: .*landmarks .* '-1'"),
        ("recognition_solution", "+02,2,Public\n", "7: id '02' .* line 3"),
        ("recognition_solution", "+03,2,Public\n", "7: id '03' .* line 4"),
        ("recognition_solution", "+ ,2,Public\n", "line 7: the id is empty"),
        (
            "recognition_solution",
            "id,landmarks,Usage\n1,2,Ignored\n",
            "no image that is Public or Private",
        ),
        ("retrieval_solution", "id,landmarks,Usage\n", "no column 'images'"),
        ("retrieval_solution", "+09,,Public\n", "line 7: images is empty"),
        ("retrieval_solution", "+09,None,Private\n", "7: images is empty"),
        ("retrieval_solution", "+02,f,Public\n", "line 7: id '02' is repeated"),
        ("recognition_predictions", "id,images\n", "no column 'landmarks'"),
        ("recognition_predictions", "+09,1 0.5\n", "7: id '09' is not in the"),
        ("recognition_predictions", "+09,\n", "line 7: id '09' is not in the"),
        ("recognition_predictions", "+04,1 0.5\n", "line 7: id '04' .*line 3"),
        ("recognition_predictions", "+05,1 0.5\n", "line 7: id '05' .*line 6"),
        ("recognition_predictions", "id,landmarks\n01,1\n", "2: .* 1 words"),
        (
            "recognition_predictions",
            "id,landmarks\n01,1 1 1\n",
            "2: .* 3 words",
        ),
        ("recognition_predictions", "id,landmarks\n01,1 nan\n", "2: .* 'nan'"),
        ("recognition_predictions", "id,landmarks\n01,1 inf\n", "2: .* 'inf'"),
        ("recognition_predictions", "id,landmarks\n01,1 O.5\n", "2: .* 'O.5'"),
        ("recognition_predictions", "id,landmarks\n01,x 1\n", "2: .* not 'x'"),
        ("retrieval_predictions", "id,landmarks\n", "1: no column 'images'"),
        ("retrieval_predictions", "+09,f10\n", "line 7: id '09' is not in"),
        ("retrieval_predictions", "+02,f10\n", "line 7: id '02' is repeated"),
        ("retrieval_predictions", "+03,f10,f00\n", "line 7: 3 fields"),
        ("retrieval_predictions", "+03,f10 f99\n", "7: images has 'f99'"),
    ],
)
def test_bad_files(write, name, text, message):
    good = {
        "recognition_solution": _RECOGNITION,
        "retrieval_solution": _RETRIEVAL,
        "recognition_predictions": _GUESSES,
        "retrieval_predictions": _LISTS,
    }
    # With a plus the bad line comes after the good ones.
    whole = good[name] + text[1:] if text.startswith("+") else text
    arguments = [write("bad.csv", whole)]
    task, kind = name.split("_")
    if kind == "predictions":
        reader = getattr(gldv2_solution, f"read_{task}_solution")
        arguments.append(reader(write("s.csv", good[f"{task}_solution"])))
    if name == "retrieval_predictions":
        arguments.append({"f00", "f10", "f20", "f50", "f60"})
    with pytest.raises(InputError, match=message) as caught:
        getattr(gldv2_solution, f"read_{name}")(*arguments)
    assert str(arguments[0]) in str(caught.value)
