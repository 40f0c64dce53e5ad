"""`tools/convert_weights.py`, and the folders that it writes."""

import json
import pathlib

import numpy as np
import pytest
from tool_process import run_tool
from weights_files import network_for, torchvision_state, write_safetensors

from delg_tf.common.errors import InputError
from delg_tf.weights.assign import variables_by_name
from delg_tf.weights.convert import convert
from delg_tf.weights.load import describe, load_pretrained, read_pretrained

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return write_safetensors(folder / "net.safetensors", torchvision_state())


@pytest.fixture(scope="module")
def converted(file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "net"
    convert(file, folder)
    return folder


def test_tool_converts(file, tmp_path):
    done = run_tool(
        "tools/convert_weights.py",
        f"--input={file}",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert done.returncode == 0, done.stderr
    assert "resnet_small (torchvision)" in done.stdout
    assert "--input_normalisation=torch" in done.stdout
    assert "left out: 2 x classifier of ImageNet" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"weights.json", "weights.npz"}


def test_tool_names_what_is_wrong(tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    done = run_tool(
        "tools/convert_weights.py",
        f"--input={tmp_path / 'bad.h5'}",
        f"--output_dir={tmp_path}/o",
    )
    assert done.returncode == 1
    assert "bad.h5 is no HDF5 file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


def test_nothing_is_overwritten_unasked(file, converted):
    with pytest.raises(InputError, match="exists already"):
        convert(file, converted)
    convert(file, converted, overwrite=True)


def test_a_converted_folder_loads_like_its_source(file, converted):
    source, again = describe(file), describe(converted)
    assert source.config_fields() == again.config_fields()
    assert again.format == "delg_tf"
    assert again.bn_epsilon == source.bn_epsilon
    first, second = network_for(source), network_for(again)
    load_pretrained(first, file)
    report = load_pretrained(second, converted)
    assert report.left_out == {}
    other = variables_by_name(second)
    for name, variable in variables_by_name(first).items():
        if name.startswith(("conv1_", "block")):
            np.testing.assert_array_equal(variable, other[name])


@pytest.mark.parametrize(
    "damage, words",
    [
        (
            lambda d: (d / "weights.npz").unlink(),
            r"weights\.npz does not exist",
        ),
        (
            lambda d: (d / "weights.npz").write_bytes(b"PK nothing"),
            r"weights\.npz is damaged",
        ),
        (
            lambda d: (d / "weights.json").write_text("{"),
            r"weights\.json is not valid",
        ),
        (
            lambda d: _edit(d, input_normalisation="blue"),
            r"weights\.json is damaged.*blue",
        ),
        (lambda d: _edit(d, bn_epsilon=None), r"weights\.json is damaged"),
        (
            lambda d: (d / "weights.json").unlink(),
            r"folder without weights\.json",
        ),
    ],
    ids=["lost", "no zip", "no json", "field", "type", "no description"],
)
def test_damaged_folders(converted, tmp_path, damage, words):
    for path in converted.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damage(tmp_path)
    with pytest.raises(InputError, match=words):
        describe(tmp_path)


def _edit(folder, **changes):
    path = folder / "weights.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_incomplete_backbones_are_not_converted(tmp_path):
    state = torchvision_state()
    del state["layer4.0.bn3.weight"]
    path = write_safetensors(tmp_path / "net.safetensors", state)
    with pytest.raises(InputError, match="1 missing: block4_unit1_3_bn/gamma"):
        convert(path, tmp_path / "out")
    with pytest.raises(InputError, match=r"'resnet101'.*resnet_small"):
        convert(path, tmp_path / "out", backbone="resnet101")
    with pytest.raises(InputError, match="resnet18"):
        convert(path, tmp_path / "out", backbone="resnet18")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_recognised(tmp_path):
    with pytest.raises(InputError, match=r"none\.pth do not exist"):
        read_pretrained(tmp_path / "none.pth")
    with pytest.raises(InputError, match=r"none\.pth do not exist"):
        read_pretrained(tmp_path / "none.pth", "torchvision")
    with pytest.raises(InputError, match="'caffe'"):
        read_pretrained(tmp_path / "none.pth", "caffe")
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(InputError, match="noise cannot be read"):
        read_pretrained(tmp_path / "noise")
    for fmt in ("keras", "torchvision", "tf_slim", "official"):
        with pytest.raises(InputError, match="noise"):
            read_pretrained(tmp_path / "noise", fmt)
    with pytest.raises(InputError, match=r"weights\.json"):
        read_pretrained(tmp_path / "noise", "delg_tf")
    (tmp_path / "model.ckpt.index").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"model\.ckpt cannot be read"):
        read_pretrained(tmp_path / "model.ckpt.index")
