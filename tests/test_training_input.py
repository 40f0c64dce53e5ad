"""What is wrong with flags and files is said before the first step."""

import pathlib

import pytest
from tool_process import run_tool
from training_commands import run_commands
from training_records import CLASSES, photo, write_records
from weights_files import torchvision_state, write_safetensors

from delg_tf.data import dataset_info
from delg_tf.data.records import atomic_record_writer, encode_example
from delg_tf.training.trained_model import load_record

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLAGS = {
    "backbone": "resnet_small",
    "num_classes": CLASSES,
    "delg_embedding_layer_dim": 16,
    "image_size": 48,
    "batch_size": 8,
    "max_iters": 2,
}


def _command(folder, logdir="run", **flags):
    values = FLAGS | {"train_file_pattern": f"{folder}/good/train-*"} | flags
    return [
        f"--logdir={folder}/{logdir}",
        *[f"--{k}={v}" for k, v in values.items() if v is not None],
    ]


def _make_files(folder):
    """Sound records, and some for each way in which records can be wrong."""
    for name in ["good", "described", "empty", "cut", "labels", "picture"]:
        (folder / name).mkdir()
    name = "train-00000-of-00001"
    for good in ("good", "described"):
        write_records(folder / good / name, 0, 8)
    split = dataset_info.SplitInfo(8, 1, 0)
    info = dataset_info.DatasetInfo(
        CLASSES, {"train": split}, True, 0, None, "", "test"
    )
    dataset_info.save_dataset_info(folder / "described", info)
    (folder / "empty" / name).write_bytes(b"")
    write_records(folder / "cut" / name, 0, 9)
    cut = (folder / "cut" / name).read_bytes()[:-10]
    (folder / "cut" / name).write_bytes(cut)
    write_records(folder / "labels" / name, 0, 8, label=CLASSES)
    with atomic_record_writer(folder / "picture" / name) as writer:
        for i in range(8):
            data = photo(0, i)[: 200 if i == 5 else None]
            writer.write(encode_example(data, b"id%d" % i, 48, 56, 0))
    deep = torchvision_state((3, 4, 23, 3), width=1)
    write_safetensors(folder / "resnet101.safetensors", deep)
    (folder / "file").write_text("a file")


CUT = {"train_file_pattern": "{folder}/cut/train-*"}
# The first two are no bad input, and leave a network for the next.
CASES = {
    "cut, allowed": (CUT | {"max_bad_records": 1, "max_iters": 0}, "left out"),
    "more classes": (
        {
            "train_file_pattern": "{folder}/described/train-*",
            "num_classes": CLASSES + 1,
            "max_iters": 0,
        },
        "has records of 4 classes. The others will stay without",
    ),
    # Files.
    "no file": ({"train_file_pattern": "{folder}/none-*"}, "No file matches"),
    "no validation file": (
        {"validation_file_pattern": "{folder}/none-*"},
        "No file matches {folder}/none-*",
    ),
    "empty files": (
        {"train_file_pattern": "{folder}/empty/train-*"},
        "All 1 files of {folder}/empty/train-* are empty",
    ),
    "empty validation files": (
        {"validation_file_pattern": "{folder}/empty/*"},
        "All 1 files of {folder}/empty/* are empty",
    ),
    "cut": (CUT, "train-00000-of-00001, byte"),
    "labels": (
        {"train_file_pattern": "{folder}/labels/train-*"},
        "the label 4 is not below the number of classes, 4",
    ),
    "held-out labels": (
        {"validation_file_pattern": "{folder}/labels/train-*"},
        "the label 4 is not below the number of classes, 4",
    ),
    "picture": (
        {"train_file_pattern": "{folder}/picture/train-*"},
        "train-00000-of-00001, record 5 (counted from 0, at byte",
    ),
    "logdir": ({"logdir": "file/run"}, "cannot be made"),
    # The number of classes.
    "classes": ({"num_classes": None}, "number of classes is not known"),
    "fewer classes": (
        {
            "train_file_pattern": "{folder}/described/train-*",
            "num_classes": CLASSES - 1,
        },
        "described has records of 4 classes (dataset_info.json)",
    ),
    # Weights.
    "other backbone": (
        {
            "backbone": "resnet50",
            "init_checkpoint": "{folder}/resnet101.safetensors",
        },
        "resnet101.safetensors does not fit 'resnet50'",
    ),
    "no weights": ({"init_checkpoint": "nothing"}, "nothing do not exist"),
    "no source": ({"init_from": "nothing"}, "--init_from: nothing is neither"),
    "other strides": (
        {
            "init_from": "{folder}/cut, allowed",
            "stride_position": "first_unit_3x3",
        },
        "was trained with `stride_position` 'last_unit'",
    ),
    "another run": (
        {"logdir": "cut, allowed", "num_classes": CLASSES + 1},
        "holds a run of another network: num_classes differ",
    ),
    # Flags.
    "unknown backbone": ({"backbone": "resnet18"}, "resnet18"),
    "image size": ({"image_size": 8}, "`image_size`"),
    "no cluster": ({"distribution": "multi_worker"}, "TF_CONFIG"),
    "multipliers": ({"lr_multipliers": "backbone=0.1"}, "--lr_multipliers"),
    "parts": ({"accumulation_steps": 3}, "3 accumulation steps"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("input")


@pytest.fixture(scope="module")
def results(folder):
    _make_files(folder)
    commands = []
    for name, (flags, _) in CASES.items():
        flags = {
            key: value.format(folder=folder)
            if isinstance(value, str)
            else value
            for key, value in flags.items()
        }
        commands.append(_command(folder, **{"logdir": name} | flags))
    return dict(zip(CASES, run_commands(commands), strict=True))


@pytest.mark.parametrize("name", list(CASES)[2:])
def test_bad_input_is_explained(folder, results, name):
    flags, message = CASES[name]
    code, output = results[name]
    assert code == 1
    assert message.format(folder=folder) in output
    assert "Traceback" not in output
    logdir = folder / flags.get("logdir", name)
    assert not list(logdir.glob("delf_tf2-ckpt/*-[1-9]*"))
    assert "Training: " not in output


def test_damaged_records_are_left_out_if_allowed(folder, results):
    code, output = results["cut, allowed"]
    assert code == 0, output
    assert "1 records are damaged or missing and left out" in output
    assert "byte" in output and "the file ends inside this record" in output
    record = load_record(folder / "cut, allowed")
    assert record.training["images_per_epoch"] == 8


def test_more_classes_than_there_are_is_warned_of(folder, results):
    code, output = results["more classes"]
    assert code == 0, output
    assert CASES["more classes"][1] in output
    model = load_record(folder / "more classes").model
    assert model.num_classes == CLASSES + 1


def test_an_undecodable_image_is_named_with_its_id(results):
    output = results["picture"][1]
    assert "image id5 cannot be decoded" in output
    assert "Build the records again" in output


def test_the_real_command_ends_likewise(tmp_path):
    """The others run in one process."""
    done = run_tool(
        "-m delg_tf.train", *_command(tmp_path, train_file_pattern="none-*")
    )
    assert done.returncode == 1
    assert "error: No file matches none-*" in done.stderr
    assert "Traceback" not in done.stderr
