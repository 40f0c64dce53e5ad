"""Studies: what they plan, that their flags exist, and what they report."""

import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from absl import flags
from absl.testing import flagsaver
from tool_process import run_tool

import delg_tf.train  # noqa: F401 - defines the flags of training
from delg_tf.common.errors import InputError
from delg_tf.extraction.config import load_config
from delg_tf.protos import study_pb2
from delg_tf.study import definition, results
from delg_tf.study.data import StudyData, demo_data
from delg_tf.study.plan import RunPlan
from delg_tf.study.run import StudyOptions, run_study
from delg_tf.training.flags.run import training_config

ROOT = pathlib.Path(__file__).parent.parent
STUDIES = sorted(p.parent.name for p in ROOT.glob("experiments/*/study.pbtxt"))
FOLDERS = {name: pathlib.Path("experiments") / name for name in STUDIES}


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    """Flagfiles name each other as seen from the checkout."""
    monkeypatch.chdir(ROOT)


def configuration(folder, variant, demo):
    """What a variant trains, by its flagfiles."""
    files = [folder / f"{variant}.flags"]
    if demo:
        files.append(folder / "demo.flags")
    with flagsaver.flagsaver():
        flags.FLAGS(
            [
                "train",
                *(f"--flagfile={file}" for file in files),
                "--logdir=x",
                "--train_file_pattern=x/train-*",
                "--num_classes=10",
            ]
        )
        return training_config()


def all_variants():
    for name, folder in FOLDERS.items():
        for variant in definition.load_study(ROOT / folder).variants:
            yield name, variant


def test_the_experiments_of_the_paper_are_there():
    assert set(STUDIES) >= {
        "table1_local",
        "table2_global",
        "figure3_sparsity",
        "delg_r50_gldv2clean",
        "delg_r101_gldv2clean",
        "delg_r50_gld",
    }
    for folder in FOLDERS.values():
        assert (folder / "README.md").is_file()
        assert (folder / "RESULTS.md").is_file()


@pytest.mark.parametrize("demo", [False, True])
def test_flagfiles_train_what_titles_say(demo):
    for name, variant in all_variants():
        config = configuration(FOLDERS[name], variant.name, demo)
        model, title = config.model, variant.title
        assert config.batch_size * config.max_iters < 4e7
        if match := re.search(r"λ = (\d+)", title):
            weight = config.loss.reconstruction_weight
            assert weight == float(match.group(1))
            assert model.local_reduction == "autoencoder"
        if "FC" in title:
            assert model.local_reduction == "fc"
        if variant.local_pca:
            assert model.local_reduction == "none"
        if name == "table1_local" and not variant.is_start_only:
            separate = title.startswith("separate")
            assert config.optimizer.freeze_backbone == separate
            assert bool(variant.init_from) == separate
        if "stopped" in title:
            assert model.stop_gradient == ("not stopped" not in title)
        if name == "table2_global":
            head, pool = title.split(", ")[:2]
            assert model.global_head == head.lower()
            assert model.pooling == pool.lower()
            joint = "joint" in title
            assert bool(config.loss.attention_weight) == joint
        if name.startswith("delg_"):
            assert model.backbone == f"resnet{name.split('_')[1][1:]}"


def test_table2_has_all_heads_and_poolings():
    names = [v.name for study, v in all_variants() if study == "table2_global"]
    crossed = {f"{h}_{p}" for h in ("softmax", "arcface") for p in
               ("spoc", "gem", "mac")}  # fmt: skip
    assert set(names) == crossed | {"joint_naive", "joint"}


def known_flags(tool):
    """Names of a tool's flags, by its own account."""
    text = run_tool(tool, "--helpxml").stdout
    return {element.text for element in ET.fromstring(text).iter("name")}


def test_every_planned_flag_is_one_of_its_command(tmp_path):
    used = {}
    for name in STUDIES:
        for extra in ({"demo": True, "quick": True}, {"data": own_data()}):
            options = StudyOptions(
                str(FOLDERS[name]), str(tmp_path), dry_run=True, **extra
            )
            for line in run_study(options).splitlines():
                found = re.findall(r"--(\w+)=|--(?:no)?(\w+)(?= |$)", line)
                command = re.match(r"python (tools/\w+\.py)", line)
                if command:
                    used.setdefault(command.group(1), set()).update(
                        first or second for first, second in found
                    )
    assert set(used) >= {
        "tools/evaluate_pairs.py",
        "tools/extract_features.py",
        "tools/learn_pca.py",
        "tools/search_features.py",
    }
    for tool, names in used.items():
        assert not names - known_flags(tool) - {"block3_strides"}, tool


def own_data(**changes):
    return StudyData(
        "/data/train-*",
        ground_truth=ROOT / "setup.py",
        images_dir=ROOT,
        pca_images=("--images_dir=/data/some",),
        **changes,
    )


def plan(tmp_path, study, name, **changes):
    folder = FOLDERS[study]
    content = definition.load_study(folder)
    [variant] = [v for v in content.variants if v.name == name]
    values = {
        "experiment": folder,
        "variant": variant,
        "measures": tuple(content.measures),
        "data": demo_data(pathlib.Path("demo")),
        "output": tmp_path,
        "seed": 3,
    }
    return RunPlan(**(values | changes))


def commands(made):
    return {stage.name: stage.commands for stage in made.stages()}


def test_a_run_goes_from_training_to_pairs(tmp_path):
    made = commands(plan(tmp_path, "table1_local", "joint", demo=True))
    assert list(made) == ["training", "export", "extraction", "pairs"]
    [training] = made["training"]
    assert training[2:4] == (
        "--flagfile=experiments/table1_local/joint.flags",
        "--flagfile=experiments/table1_local/demo.flags",
    )
    assert "--seed=3" in training
    assert [c[-2] for c in made["extraction"]] == [
        "--image_set=query",
        "--image_set=index",
    ]


def test_pairs_of_a_file_are_extracted_from_their_folder(tmp_path):
    data = own_data(pairs_file=pathlib.Path("pairs.csv"), pairs_images_dir=ROOT)
    made = commands(plan(tmp_path, "table1_local", "joint", data=data))
    [extraction] = made["extraction"]
    assert f"--images_dir={ROOT}" in extraction
    [pairs] = made["pairs"]
    assert "--pairs_file=pairs.csv" in pairs
    assert f"--query_features_dir={tmp_path}/features/pairs" in pairs


def test_what_others_start_from_is_only_trained(tmp_path):
    made = commands(plan(tmp_path, "table1_local", "global_only"))
    assert list(made) == ["training"]
    start = commands(
        plan(tmp_path, "table1_local", "separate_fc", init_from=tmp_path / "x")
    )
    assert f"--init_from={tmp_path / 'x'}" in start["training"][0]


def test_sparsity_needs_the_training_alone(tmp_path):
    made = commands(plan(tmp_path, "figure3_sparsity", "naive"))
    assert list(made) == ["training"]


@pytest.mark.parametrize("demo, dim", [(False, 128), (True, 32)])
def test_pca_is_learnt_and_then_used(tmp_path, demo, dim):
    made = plan(tmp_path, "table1_local", "separate_pca", demo=demo)
    assert list(commands(made))[1:4] == ["export", "pca", "extraction"]
    assert f"--dim={dim}" in commands(made)["pca"][1]
    made.write_extraction_config()
    config = load_config(tmp_path / "extract.pbtxt")
    local = config.delf_local_config
    assert local.use_pca and local.pca_parameters.pca_dim == dim
    assert local.pca_parameters.mean_path == str(tmp_path / "pca/mean.datum")
    plain = load_config(FOLDERS["table1_local"] / "extract.pbtxt", "m")
    assert list(config.image_scales) == list(plain.image_scales)
    assert local.max_feature_num == plain.delf_local_config.max_feature_num


STUDY = """
title: "T" measures: GLOBAL_MAP
variants { name: "a" title: "first" }
variants { name: "b" title: "second" }
curves { title: "accuracy" key: "global_accuracy" kind: "validation" }
"""


@pytest.mark.parametrize(
    "text, message",
    [
        ("title: 3", "study.pbtxt"),
        ('measures: PAIR_AP variants { name: "../a" }', "a file's name"),
        ('measures: PAIR_AP variants { name: "a" } variants { name: "a" }',
         "two variants are called a"),
        ('measures: PAIR_AP variants { name: "a" init_from: "b" } '
         'variants { name: "b" }', "no variant above"),
        ('measures: PAIR_AP variants { name: "a" is_start_only: true }',
         "no variant to compare"),
        ('variants { name: "a" }', "measures nothing"),
        ('measures: PAIR_AP variants { name: "c" }', "c.flags"),
    ],
)  # fmt: skip
def test_bad_studies_are_refused(tmp_path, text, message):
    (tmp_path / "study.pbtxt").write_text(text)
    (tmp_path / "a.flags").touch()
    (tmp_path / "b.flags").touch()
    with pytest.raises(InputError, match=re.escape(message)):
        definition.load_study(tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, "--train_file_pattern"),
        ({"data": StudyData("x")}, "--dataset_file_path"),
        ({"variants": ("none",), "demo": True}, "no variant none"),
        ({"experiment": "experiments/none", "demo": True}, "none/study.pbtxt"),
    ],
)
def test_what_is_missing_is_said_before_any_work(tmp_path, changes, message):
    values = {
        "experiment": "experiments/table1_local",
        "output_directory": str(tmp_path / "out"),
        "demo_data": str(tmp_path / "data"),
    }
    with pytest.raises(InputError, match=message):
        run_study(StudyOptions(**(values | changes)))
    assert not list(tmp_path.iterdir())


def finished_run(output, name, seed, score):
    folder = output / f"seed{seed}" / name
    (folder / "training").mkdir(parents=True)
    metrics = {p: {"mAP": score + i} for i, p in
               enumerate(("easy", "medium", "hard"))}  # fmt: skip
    path = folder / "evaluation" / "global"
    path.mkdir(parents=True)
    (path / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    row = {"step": 5, "kind": "validation", "global_accuracy": 0.5}
    (folder / "training" / "history.jsonl").write_text(json.dumps(row))
    measures = [study_pb2.Study.GLOBAL_MAP]
    results.write_run(folder, measures, {"training": 60.0}, False)


def test_results_are_means_over_seeds_of_what_is_done(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.pbtxt").write_text(STUDY)
    for name in "ab":
        (folder / f"{name}.flags").touch()
    (folder / "extract.pbtxt").touch()
    study = definition.load_study(folder)
    for name, seed, score in (("a", 0, 10), ("a", 1, 14), ("b", 0, 20)):
        finished_run(tmp_path, name, seed, score)
    table = results.write_results(study, tmp_path, (0, 1), "COMMAND --x")
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    assert lines[0][1:] == ["global Easy, %", "global Medium, %",
                            "global Hard, %"]  # fmt: skip
    assert lines[2] == ["first", "12.0 ± 2.0", "13.0 ± 2.0", "14.0 ± 2.0"]
    assert lines[3] == ["second", "20.0", "21.0", "22.0"]
    text = (tmp_path / "RESULTS.md").read_text()
    assert (
        table in text
        and "COMMAND --x" in text
        and "all rows together: 3" in text
    )
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["rows"]["first"][0] == [10, 14]
    for name in ("results.svg", "curves.svg"):
        picture = (tmp_path / name).read_text()
        ET.fromstring(picture)
        assert "first" in picture and name in text


def test_a_failed_run_does_not_end_the_others(tmp_path, capfd):
    """A flag that no command has: both variants fail, and both are named."""
    study = ROOT / "experiments" / "figure3_sparsity"
    (tmp_path / "study.pbtxt").write_text((study / "study.pbtxt").read_text())
    for name in ("naive", "controlled"):
        (tmp_path / f"{name}.flags").write_text("--no_such_flag=1\n")
    data = StudyData("x")
    options = StudyOptions(str(tmp_path), str(tmp_path / "out"), data=data)
    with pytest.raises(InputError, match=r"2 of 2 runs failed.*naive.*contr"):
        run_study(options)
    assert "no_such_flag" in capfd.readouterr().err


@pytest.mark.slow
def test_a_table_runs_with_one_command(tmp_path):
    output = tmp_path / "out"
    command = [
        sys.executable,
        "tools/run_experiment.py",
        "--experiment=experiments/table1_local",
        "--demo",
        "--quick",
        "--variants=separate_pca,joint",
        f"--demo_data={tmp_path / 'data'}",
        f"--output_directory={output}",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    first = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert first.returncode == 0, first.stderr[-3000:]
    rows = json.loads((output / "results.json").read_text())["rows"]
    assert list(rows) == [
        "separate, PCA",
        "joint, AE, λ = 10, gradients stopped",
    ]
    assert all(0 < value <= 100 for [[value]] in rows.values())
    second = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert second.returncode == 0
    assert "$ python" not in second.stdout
    assert json.loads((output / "results.json").read_text())["rows"] == rows
