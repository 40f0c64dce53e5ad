"""What is measured on each public data set, from features that are there."""

import csv

import numpy as np
import pytest
from planted_data_sets import (
    plant,
    random_descriptors,
    rank,
    slow_average_precision,
    touch_images,
    unused_model,
)
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.data.gldv2_solution import (
    read_retrieval_predictions,
    read_retrieval_solution,
)
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.evaluation.metrics.oxford import evaluate_oxford
from delg_tf.protocols.catalogue import open_data_set
from delg_tf.protocols.options import RetrievalOptions
from delg_tf.protocols.retrieval import evaluate_data_set
from delg_tf.retrieval.ranking.config import QueryExpansion, RankingConfig
from delg_tf.retrieval.rerank import RerankConfig

BOX = (32, 24, 128, 88)


@pytest.fixture
def settings(tmp_path):
    return unused_model(tmp_path)


@pytest.fixture
def roxford(tmp_path):
    """ROxford's layout with 40 images and 30 distractors, never decoded."""
    rng = np.random.default_rng(1)
    index = [f"image{number}" for number in range(40)]
    queries = []
    for _ in range(5):
        drawn = rng.permutation(40)
        queries.append(RevisitedQuery(drawn[:4], drawn[4:9], drawn[9:12], BOX))
    truth = RevisitedGroundTruth([f"q{i}" for i in range(5)], index, queries)
    folder = tmp_path / "data" / "roxford5k"
    touch_images(folder / "jpg", [*truth.query_names, *index])
    save_ground_truth(truth, folder / "gnd_roxford5k.mat")
    listed = [f"{number % 3}/{number:03d}.jpg" for number in range(30)]
    distractors = tmp_path / "data" / "revisitop1m"
    touch_images(distractors / "jpg", [name[:-4] for name in listed])
    (distractors / "revisitop1m.txt").write_text("\n".join(listed))
    return truth, tmp_path / "data"


def test_distractors_are_wrong_and_damaged_images_are_never_found(
    roxford, settings, tmp_path
):
    truth, data_dir = roxford
    options = RetrievalOptions(
        "roxford5k+r1m", tmp_path / "out", settings, data_dir, skip_damaged=True
    )
    names = [f"revisitop1m/{i % 3}/{i:03d}" for i in range(30)]
    every = [*truth.index_names, *names]
    descriptors = random_descriptors(truth.query_names, every)
    damaged = ["image3", names[4]]
    data = plant(options, descriptors, skipped=damaged)
    assert data.index_names == every
    metrics = evaluate_data_set(options)
    assert metrics.index["distractors"] == 30
    assert metrics.index["damaged_images"] == 2
    places = [every.index(name) for name in damaged]
    for row, query in enumerate(truth.queries):
        order = rank(descriptors, truth.query_names[row], every)
        order = [i for i in order if i not in places] + places
        for protocol, right, out in (
            ("easy", query.easy, [*query.hard, *query.junk]),
            ("medium", [*query.easy, *query.hard], query.junk),
            ("hard", query.hard, [*query.easy, *query.junk]),
        ):
            np.testing.assert_allclose(
                metrics.metrics[protocol]["per_query_ap"][row],
                slow_average_precision(order, right, out),
            )
    with pytest.raises(InputError, match=r"image3: damaged .*--skip_damaged"):
        evaluate_data_set(
            RetrievalOptions(
                "roxford5k+r1m", tmp_path / "other", settings, data_dir
            )
        )


def test_another_run_does_not_replace_results(roxford, settings, tmp_path):
    truth, data_dir = roxford

    def options(**changes):
        return RetrievalOptions(
            "roxford5k", tmp_path / "out", settings, data_dir, **changes
        )

    descriptors = random_descriptors(truth.query_names, truth.index_names)
    plant(options(), descriptors)
    plant(options(), descriptors, with_local=True)
    first = evaluate_data_set(options())
    searched = (tmp_path / "out" / "global.npz").stat().st_mtime_ns
    reranking = RerankConfig(num_to_rerank=7)
    with pytest.raises(InputError, match="other settings: features, reranking"):
        evaluate_data_set(options(reranking=reranking))
    again = evaluate_data_set(options())
    assert again.metrics.keys() == first.metrics.keys()
    # As the official script does: each protocol without its junk.
    dropped = evaluate_data_set(
        options(reranking=reranking, drop_junk=True, overwrite=True)
    )
    assert "hard_after_gv" in dropped.metrics
    for name in ("easy", "medium", "hard"):
        assert (tmp_path / "out" / f"reranked_{name}.npz").is_file()
    # Only the number of images at k changes: the search stays.
    searched = (tmp_path / "out" / "global.npz").stat().st_mtime_ns
    evaluate_data_set(
        options(
            reranking=reranking, drop_junk=True, overwrite=True, cutoffs=(2,)
        )
    )
    assert (tmp_path / "out" / "global.npz").stat().st_mtime_ns == searched


def test_whole_queries_have_features_of_their_own(roxford, settings, tmp_path):
    truth, data_dir = roxford
    descriptors = random_descriptors(truth.query_names, truth.index_names)
    records, used = [], []
    for crop in (True, False):
        output = tmp_path / f"out{crop}"
        options = RetrievalOptions(
            "roxford5k", output, settings, data_dir, crop_queries=crop
        )
        plant(options, descriptors)
        records.append(evaluate_data_set(options))
        used.append(records[-1].details["features"])
        page = (output / "report.html").read_text(encoding="utf-8")
        assert ("NOT cropped" in page) != crop
    assert [record.queries_cropped for record in records] == [True, False]
    assert used[0][0] != used[1][0] and used[0][1] == used[1][1]


def test_query_expansion_ranks_by_expanded_queries(roxford, settings, tmp_path):
    truth, data_dir = roxford
    options = RetrievalOptions(
        "roxford5k",
        tmp_path / "out",
        settings,
        data_dir,
        ranking=RankingConfig(query_expansion=QueryExpansion(images=2)),
    )
    descriptors = random_descriptors(truth.query_names, truth.index_names)
    plant(options, descriptors)
    measured = evaluate_data_set(options).metrics["medium"]["per_query_ap"]
    for row, (name, query) in enumerate(zip(truth.query_names, truth.queries)):
        order = rank(descriptors, name, truth.index_names)[:2]
        found = [truth.index_names[i] for i in order]
        total = descriptors[1][name] + sum(descriptors[0][n] for n in found)
        expanded = [descriptors[0], {name: total}]
        expected = slow_average_precision(
            rank(expanded, name, truth.index_names),
            [*query.easy, *query.hard],
            query.junk,
        )
        np.testing.assert_allclose(measured[row], expected)


def write_csv(path, header, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def gldv2(tmp_path):
    folder = tmp_path / "data" / "gldv2"
    index = [f"{number:016x}" for number in range(12)]
    tests = [f"{number:016x}" for number in range(100, 104)]
    for part, names in (("index", index), ("test", tests)):
        touch_images(folder / part, ["/".join([*n[:3], n]) for n in names])
    write_csv(folder / "index.csv", ["id"], *([n] for n in index))
    write_csv(
        folder / "retrieval_solution_v2.1.csv",
        ["id", "images", "Usage"],
        [tests[0], f"{index[1]} {index[5]}", "Public"],
        [tests[1], index[7], "Private"],
        [tests[2], f"{index[2]} {index[3]} {index[4]}", "Private"],
        [tests[3], "None", "Ignored"],
    )
    return index, tests, folder


def test_landmarks_are_measured_by_part_and_predicted(
    gldv2, settings, tmp_path
):
    index, tests, folder = gldv2
    options = RetrievalOptions(
        "gldv2",
        tmp_path / "out",
        settings,
        folder.parent,
        reranking=RerankConfig(num_to_rerank=3),
    )
    descriptors = random_descriptors(tests, index)
    plant(options, descriptors, with_local=True)
    metrics = evaluate_data_set(options).metrics
    right = {0: {1, 5}, 1: {7}, 2: {2, 3, 4}}
    expected = []
    for row in range(3):
        order = rank(descriptors, tests[row], index).tolist()
        hits = [order.index(image) + 1 for image in right[row]]
        # Of each right image, the precision where it is found.
        values = [(i + 1) / place for i, place in enumerate(sorted(hits))]
        expected.append(100 * np.mean(values))
    np.testing.assert_allclose(metrics["public"]["mAP"], expected[0])
    np.testing.assert_allclose(metrics["private"]["mAP"], np.mean(expected[1:]))
    assert "private_after_gv" in metrics

    solution = read_retrieval_solution(folder / "retrieval_solution_v2.1.csv")
    written = read_retrieval_predictions(
        tmp_path / "out" / "predictions.csv", solution, set(index)
    )
    assert set(written.private[tests[1]]) == set(index)
    assert "never found" not in (tmp_path / "out" / "report.html").read_text()


def test_gldv2_without_all_images_is_another_data_set(
    gldv2, settings, tmp_path
):
    index, tests, folder = gldv2
    for part, name in (("index", index[2]), ("test", tests[0])):
        (folder / part).joinpath(*name[:3], f"{name}.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of the 3 query images"):
        open_data_set("gldv2", folder.parent)
    options = RetrievalOptions(
        "gldv2", tmp_path / "out", settings, folder.parent, allow_missing=True
    )
    descriptors = random_descriptors(tests, index)
    plant(options, descriptors)
    record = evaluate_data_set(options)
    assert record.index["missing_images"] == 2
    assert set(record.metrics) == {"private"}
    here = [name for name in index if name != index[2]]
    expected = []
    for query, right in ((tests[1], [7]), (tests[2], [2, 3, 4])):
        order = [here[i] for i in rank(descriptors, query, here)]
        places = sorted(order.index(index[i]) + 1 for i in right if i != 2)
        values = [(i + 1) / place for i, place in enumerate(places)]
        # What is not there is not found.
        expected.append(sum(values) / len(right))
    np.testing.assert_allclose(
        record.metrics["private"]["mAP"], 100 * np.mean(expected)
    )


def test_old_oxford_is_measured_by_its_own_rule(settings, tmp_path):
    folder = tmp_path / "mine"
    names = [f"all_{number:02d}" for number in range(20)]
    touch_images(folder / "images", names)
    (folder / "gt").mkdir()
    labels = {"good": [0, 4], "ok": [7], "junk": [9, 11]}
    box = "32 24 128 88"
    (folder / "gt" / "all_1_query.txt").write_text(f"oxc1_all_00 {box}\n")
    for kind, images in labels.items():
        lines = "".join(f"{names[i]}\n" for i in images)
        (folder / "gt" / f"all_1_{kind}.txt").write_text(lines)
    options = RetrievalOptions(str(folder), tmp_path / "out", settings)
    descriptors = random_descriptors(["all_00"], names)
    plant(options, descriptors)
    metrics = evaluate_data_set(options).metrics
    expected = evaluate_oxford(
        [rank(descriptors, "all_00", names)], [[0, 4, 7]], [[9, 11]]
    )
    np.testing.assert_allclose(
        metrics["oxford"]["mAP"], 100 * expected.mean_average_precision
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("roxford5k/gnd_roxford5k.mat", "ground truth is missing.*--dataset="),
        ("roxford5k/jpg/image7.jpg", "1 of the 40 index images .*image7.jpg"),
        ("roxford5k/jpg/q2.jpg", "1 of the 5 query images .*q2.jpg"),
        ("revisitop1m/revisitop1m.txt", "dataset=revisitop1m --data_dir="),
        ("revisitop1m/jpg/1/001.jpg", "1 of the 30 distractors .*001.jpg"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(roxford, spoil, message):
    _, data_dir = roxford
    (data_dir / spoil).unlink()
    with pytest.raises(InputError, match=message) as error:
        open_data_set("roxford5k+r1m", data_dir)
    assert "tools/download_dataset.py" in str(error.value)


def test_a_folder_with_two_ground_truths_is_refused(roxford):
    _, data_dir = roxford
    path = data_dir / "roxford5k" / "gnd_roxford5k.mat"
    path.with_name("gnd_other.mat").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"several: gnd_.*mat, gnd_.*mat"):
        open_data_set(str(data_dir / "roxford5k"), None)


def test_a_right_image_that_the_index_lacks_is_named(gldv2):
    _, tests, folder = gldv2
    path = folder / "retrieval_solution_v2.1.csv"
    path.write_text(path.read_text().replace("None,Ignored", "feed,Public"))
    with pytest.raises(InputError, match=f"{tests[3]}: images has 'feed'"):
        open_data_set("gldv2", folder.parent)


@pytest.mark.parametrize(
    ("name", "data_dir", "message"),
    [
        ("roxford5k", None, "needs --data_dir"),
        ("gldv2+r1m", ".", "do not belong to gldv2"),
        (".", None, "ground truth is missing.*folder of your own"),
    ],
)
def test_wrong_names_and_folders_are_told(
    name, data_dir, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        open_data_set(name, data_dir)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=roxford6k", "--model=."], "no data set 'roxford6k'"),
        (["--dataset=roxford5k", "--data_dir=."], "--model"),
        (["--dataset=.", "--model=.", "--drop_junk"], "--rerank"),
        (["--model=."], "--model needs --dataset"),
        (
            ["--dataset=.", "--model=.", "--rerank", "--num_processes=2"],
            "--num_processes is for",
        ),
        (
            ["--dataset=.", "--search_results=a.npz"],
            "--search_results does not",
        ),
    ],
)
def test_wrong_flags_are_told(arguments, message, tmp_path):
    result = run_tool(
        "tools/evaluate_retrieval.py",
        *arguments,
        f"--output_dir={tmp_path / 'out'}",
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
