"""A whole evaluation: download, extraction, search, metrics, report."""

import json

import numpy as np
import pytest
import skimage.data
from extraction_inputs import export_models, extraction_config, save_config
from PIL import Image
from planted_data_sets import ids, slow_average_precision
from tool_process import last_line, run_tool

from delg_tf.data.revisited import RevisitedGroundTruth, RevisitedQuery
from delg_tf.evaluation.metrics_file import read_metrics_text
from delg_tf.features.feature_io import read_global_descriptor
from delg_tf.protocols.rehearsal import pack_revisited, serve

TOOL = "tools/evaluate_retrieval.py"
BOX = (32, 24, 128, 88)


def save_jpeg(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=100, subsampling=0)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Photographs and labels in ROxford's form: a query's box is an image."""
    folder = tmp_path_factory.mktemp("photographs")
    picture = skimage.data.astronaut()
    index, queries = [], []
    x1, y1, x2, y2 = BOX
    for number in range(3):
        top, left = 120 * number, 130 * number
        whole = picture[top : top + 120, left : left + 160]
        first = len(index)
        save_jpeg(folder / f"query{number}.jpg", whole)
        save_jpeg(folder / f"box{number}.jpg", whole[y1:y2, x1:x2])
        mirror = whole[y1:y2, x1:x2][:, ::-1]
        save_jpeg(folder / f"mirror{number}.jpg", mirror)
        index += [f"box{number}", f"mirror{number}"]
        queries.append(RevisitedQuery(ids(first), ids(first + 1), ids(), BOX))
    noise = np.random.default_rng(0)
    for number in range(4):
        # Of the size of a box: one size is compiled for once.
        pixels = noise.integers(0, 255, (y2 - y1, x2 - x1, 3), np.uint8)
        save_jpeg(folder / f"noise{number}.jpg", pixels)
        index.append(f"noise{number}")
    names = [f"query{number}" for number in range(3)]
    return RevisitedGroundTruth(names, index, queries), folder


@pytest.fixture(scope="module")
def extraction(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = export_models(folder, ["local_and_global"]) / "local_and_global"
    return save_config(folder, extraction_config(model))


def times_below(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_from_download_to_report(photographs, extraction, tmp_path):
    truth, images = photographs
    pack_revisited("roxford5k", truth, images, tmp_path / "server")
    data, output = tmp_path / "data", tmp_path / "output"
    command = [
        TOOL, "--dataset=roxford5k", f"--data_dir={data}", "--download",
        f"--extraction={extraction}", "--precision_ranks=1,3", "--rerank",
        f"--output_dir={output}",
    ]  # fmt: skip
    with serve(tmp_path / "server") as address:
        first = run_tool(*command, f"--mirror={address}")
    assert first.returncode == 0, first.stderr[-3000:]
    assert last_line(first.stdout).endswith("report.html")
    record = json.loads((output / "metrics.json").read_text())
    assert record["queries_cropped"] is True
    assert record["verification"]["backend"] == "numba"

    # Metrics again, slowly, from the official files of features.
    (query_files,) = (data / "features").glob("roxford5k_query-*/files")
    (index_files,) = (data / "features").glob("roxford5k_index-*/files")
    queries, index = (
        np.array(
            [read_global_descriptor(f / f"{n}.delg_global") for n in names]
        )
        for f, names in (
            (query_files, truth.query_names),
            (index_files, truth.index_names),
        )
    )
    cosines = queries @ index.T
    for row, query in enumerate(truth.queries):
        # Cropped to the box, a query is the photograph of its box.
        assert cosines[row, query.easy[0]] > 0.995
        expected = slow_average_precision(
            np.argsort(-cosines[row]), [*query.easy, *query.hard], []
        )
        values = record["metrics"]["medium"]["per_query_ap"]
        np.testing.assert_allclose(values[row], expected)
    official = read_metrics_text(output / "metrics.txt")
    assert set(official) == {
        f"{p}{s}" for p in ("easy", "medium", "hard") for s in ("", "_after_gv")
    }
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "cropped to their boxes before extraction" in page
    assert "published figures are left out" in page

    before = times_below(tmp_path)
    second = run_tool(*command, f"--mirror={address}")
    assert second.returncode == 0, second.stderr[-3000:]
    assert second.stdout.count("done before") == 4
    after = times_below(tmp_path)
    changed = {p.name for p in after if after[p] != before.get(p)}
    assert changed <= {"stages.json"}
