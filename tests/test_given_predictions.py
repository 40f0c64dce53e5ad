import json

import pytest
import slow_metrics
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.evaluation.given_predictions import MeasureOptions, measure_files

_SOLUTION = (
    "id,images,Usage\nq1,a b,Public\nq2,c,Public\nq3,a c d,Public\n"
    "q4,b,Private\nq5,None,Ignored\n"
)
_LISTS = {"q1": "b x a", "q2": "x c", "q3": "d a x c", "q4": "x", "q5": "a"}


def _write(path, lists):
    rows = [f"{query},{images}\n" for query, images in lists.items()]
    path.write_text("id,images\n" + "".join(rows))
    return path


def test_tool(tmp_path):
    solution = tmp_path / "solution.csv"
    solution.write_text(_SOLUTION)
    index = tmp_path / "index.csv"
    index.write_text("id\na\nb\nc\nd\nx\n")
    files = [
        f"--predictions={_write(tmp_path / 'new.csv', _LISTS)}",
        f"--solution={solution}",
        f"--index={index}",
    ]
    baseline = _write(tmp_path / "old.csv", {"q1": "x a", "q3": "x"})
    output = tmp_path / "out.json"
    done = run_tool(
        "tools/evaluate_predictions.py",
        *files,
        f"--baseline={baseline}",
        "--map_at=2",
        "--map_divisor=all",
        f"--output_path={output}",
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(output.read_text())
    right = {"q1": {"a", "b"}, "q2": {"c"}, "q3": {"a", "c", "d"}}
    expected = {
        query: slow_metrics.truncated_ap(
            _LISTS[query].split(), answers, 100, "limited"
        )
        for query, answers in right.items()
    }
    public = content["public"]
    assert public["per_query_ap"] == pytest.approx(expected)
    mean = sum(expected.values()) / 3
    assert public["mAP@100"] == pytest.approx(mean)
    assert public["mAP@k"]["2"] == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)
    assert public["P@k"][:2] == pytest.approx([2 / 3, 2 / 3])
    assert len(public["P@k"]) == 100
    assert public["mean_first_correct"] == pytest.approx(4 / 3)
    # The baseline finds a of q1 at place 2 only; of three gains all signs
    # turned are as far: 2 of 8.
    assert public["difference"]["mean"] == pytest.approx(mean - 0.25 / 3)
    assert public["difference"]["p_value"] == 0.25
    assert public["interval"]["low"] == pytest.approx(min(expected.values()))
    private = content["private"]
    assert (private["mAP@100"], private["mean_first_correct"]) == (0, 101)
    assert f"| public  |      3 |   {100 * mean:.2f} |" in done.stdout
    # A wrong file is named, and nothing is written over.
    bad = _write(tmp_path / "bad.csv", {**_LISTS, "q1": "b z"})
    with pytest.raises(InputError, match=r"bad\.csv, line 2: images has 'z'"):
        measure_files(bad, solution, index_path=index)
    with pytest.raises(InputError, match=r"bad\.csv, line 2: images has 'z'"):
        measure_files(baseline, solution, bad, index)
    done = run_tool(
        "tools/evaluate_predictions.py", *files, f"--output_path={output}"
    )
    assert done.returncode == 1 and "exists already" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"map_ranks": (5, 0)}, "map_ranks must be at least 1"),
        ({"map_divisor": "R"}, "map_divisor must be one of limited, all"),
        ({"level": 95.0}, "level must be between 0 and 1, but is 95"),
        ({"num_samples": 0}, "num_samples must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        MeasureOptions(**options)
