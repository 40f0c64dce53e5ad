"""The pyramid on any runtime against the export's own signature."""

import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from extraction_inputs import (
    extraction_config,
    save_config,
    save_image,
    write_data_set,
)
from small_models import save_run, small_model
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.export.convert import convert_export
from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.export.formats import FormatOptions
from delg_tf.extraction.batching import batches
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.fidelity import compare
from delg_tf.extraction.image_list import images_in_folder
from delg_tf.extraction.images import load_image
from delg_tf.extraction.levels.quantised import FOLDER
from delg_tf.extraction.quantise import quantise_export
from delg_tf.extraction.runtimes.base import GLOBAL_OUTPUTS, LOCAL_OUTPUTS
from delg_tf.extraction.runtimes.levels import LevelsModel
from delg_tf.extraction.runtimes.load import load_model
from delg_tf.extraction.runtimes.signature import SignatureModel

ALL = (*LOCAL_OUTPUTS, *GLOBAL_OUTPUTS)
SCALES = np.float32([0.25, 0.35355338, 0.5, 0.70710677, 1.0, 1.4142135, 2.0])
# Odd ones, and one whose smallest level has a single cell.
SIZES = [(75, 103), (128, 96), (33, 140)]
KINDS = {
    "exact": {},
    "official": {"keypoints": "official"},
    "thinned": {"iou_threshold": 0.6},
    "stride32": {"local_stride": 32},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    run = save_run(tmp_path_factory.mktemp("run"), small_model())
    for name, options in KINDS.items():
        export_model(
            run, folder / name, ExportOptions(**options), checked=False
        )
    convert_export(folder / "exact", FormatOptions(("onnx",)))
    for kind in ("local", "global"):
        export_model(
            run, folder / kind, ExportOptions(kind=kind), checked=False
        )
    return folder


def inputs(number=100, threshold=0.05):
    return {
        "input_scales": SCALES,
        "input_abs_thres": np.float32(threshold),
        "input_max_feature_num": np.int32(number),
        "input_global_scales_ind": np.int32([3, 4, 5]),
    }


def picture(size, seed=0):
    """Smooth noise: neighbouring scores differ, as in photographs."""
    noise = np.random.default_rng(seed).uniform(0, 255, (*size, 3))
    noise = tf.image.resize(
        tf.image.resize(noise, [size[0] // 4, size[1] // 4]), size
    )
    return noise.numpy().astype(np.uint8)


def by_place(outputs):
    """Local outputs in an order that rounding of scores does not change."""
    if "boxes" not in outputs:
        return outputs
    boxes = np.round(outputs["boxes"], 1)
    order = np.lexsort((*boxes.T, outputs["scales"]))
    return {
        name: value[order] if name in LOCAL_OUTPUTS else value
        for name, value in outputs.items()
    }


def assert_same(found, expected, tolerance=2e-5):
    found, expected = by_place(found), by_place(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        scale = max(1.0, np.abs(value).max()) if value.size else 1.0
        np.testing.assert_allclose(
            found[name], value, atol=tolerance * scale, err_msg=name
        )


@pytest.mark.parametrize(
    "kind, runtime",
    [
        ("exact", "tensorflow"),
        ("exact", "onnxruntime"),
        *((kind, "openvino") for kind in sorted(KINDS)),
    ],
)
def test_levels_give_what_the_signature_gives(exported, runtime, kind):
    path = exported / kind
    signature = SignatureModel(tf.saved_model.load(str(path)), path, ALL)
    levels = load_model(path, True, ALL, runtime, "float32")
    assert isinstance(levels, LevelsModel)
    for size in SIZES:
        image = picture(size)
        values = inputs() | {"input_image": image}
        expected = signature.run(values)
        assert len(expected["scores"]) > 20
        assert_same(levels.run(values), expected)


@pytest.mark.parametrize("kind, outputs", [
    ("local", LOCAL_OUTPUTS), ("global", GLOBAL_OUTPUTS),
])  # fmt: skip
def test_only_what_is_there_is_computed(exported, kind, outputs):
    path = exported / kind
    signature = SignatureModel(tf.saved_model.load(str(path)), path, outputs)
    levels = load_model(path, True, outputs, "openvino", "float32")
    values = inputs() | {"input_image": picture((90, 70))}
    assert_same(levels.run(values), signature.run(values))
    assert levels.depth(outputs[0] if kind == "global" else "features") > 0


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino", "onnxruntime"])
def test_a_batch_gives_what_each_image_gives_alone(exported, runtime):
    levels = load_model(exported / "exact", True, ALL, runtime, "float32")
    images = [picture((75, 103), seed) for seed in range(3)]
    together = levels.run_batch(images, inputs())
    for image, found in zip(images, together):
        alone = levels.run(inputs() | {"input_image": image})
        assert_same(found, alone)


def test_bfloat16_keeps_the_descriptors(exported):
    values = inputs(threshold=0) | {"input_image": picture((128, 96))}
    exact, half = (
        load_model(exported / "exact", True, ALL, "openvino", precision).run(
            {**values, "input_max_feature_num": np.int32(10**6)}
        )
        for precision in ("float32", "bfloat16")
    )
    exact, half = by_place(exact), by_place(half)
    assert not np.array_equal(exact["features"], half["features"])
    for name in ("features", "global_descriptors"):
        products = (exact[name] * half[name]).sum(axis=1)
        norms = np.linalg.norm(exact[name], axis=1)
        cosines = products / norms / np.linalg.norm(half[name], axis=1)
        assert cosines.min() > 0.998


def test_what_cannot_be_run_is_refused(exported, tmp_path):
    with pytest.raises(InputError, match="--runtime must be one of"):
        load_model(exported / "exact", True, ALL, "caffe")
    with pytest.raises(InputError, match="--precision must be one of"):
        load_model(exported / "exact", True, ALL, "auto", "int3")
    for precision in ("bfloat16", "int8"):
        with pytest.raises(InputError, match="needs --runtime=openvino"):
            load_model(exported / "exact", True, ALL, "onnxruntime", precision)
    with pytest.raises(InputError, match="--formats=onnx"):
        load_model(exported / "stride32", True, ALL, "onnxruntime")

    class Old(tf.Module):
        @tf.function(input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8, "input_image"),
            tf.TensorSpec([None], tf.float32, "input_scales"),
            tf.TensorSpec([None], tf.int32, "input_global_scales_ind"),
        ])  # fmt: skip
        def run(self, input_image, input_scales, input_global_scales_ind):
            return {"global_descriptors": tf.zeros([3, 8])}

    tf.saved_model.save(module := Old(), str(tmp_path), signatures=module.run)
    with pytest.raises(InputError, match="--runtime=tensorflow"):
        load_model(tmp_path, True, GLOBAL_OUTPUTS, "openvino")
    assert load_model(tmp_path, True, GLOBAL_OUTPUTS)


@pytest.mark.slow
def test_int8_copies_are_made_compared_and_used(exported, tmp_path):
    pytest.importorskip("nncf")
    model = tmp_path / "model"
    shutil.copytree(exported / "exact", model)
    for place in range(12):
        save_image(
            tmp_path / "images" / f"{place}.png", picture((96, 80), place)
        )
    (tmp_path / "images" / "broken.jpg").write_bytes(b"nothing")
    config = extraction_config(model)
    config.delf_local_config.score_threshold = 0.0
    with pytest.raises(InputError, match="quantise_model"):
        Extractor(config, "auto", "int8")
    items = images_in_folder(tmp_path / "images")
    fidelity = quantise_export(config, items, calibration=8, compared=4)
    assert fidelity.images == 4
    assert 0.9 < fidelity.global_cosine < 0.99999
    assert 0.9 < fidelity.local_cosine < 0.99999
    assert 0.5 < fidelity.local_overlap <= 1
    small = Extractor(config, "auto", "int8")
    assert small.runtime == ("openvino", "int8")
    exact = Extractor(config, "openvino", "float32")
    images = [exact.prepare(load_image(item.path)) for item in items[:3]]
    other = compare(exact, small, images)
    assert 0.9 < other.global_cosine < 0.99999
    with pytest.raises(InputError, match="exists"):
        quantise_export(config, items, calibration=8, compared=4)
    # Nothing differs from itself.
    same = compare(exact, exact, images)
    np.testing.assert_allclose(
        [same.global_cosine, same.local_cosine, same.local_overlap],
        1,
        atol=1e-6,
    )


@pytest.mark.slow
def test_tool_quantises_and_shows_map_before_and_after(exported, tmp_path):
    pytest.importorskip("nncf")
    model = tmp_path / "model"
    shutil.copytree(exported / "exact", model)
    data = write_data_set(tmp_path)
    # The second, which is hard, becomes a picture that shows nothing of it.
    save_image(data / "jpg" / "i1.jpg", picture((120, 160)))
    for place in range(9):
        save_image(tmp_path / "own" / f"{place}.png", picture((96, 80), place))
    config = extraction_config(model)
    arguments = [
        "tools/quantise_model.py",
        f"--delf_config_path={save_config(tmp_path, config)}",
        f"--images_dir={tmp_path / 'own'}",
        f"--dataset_file_path={data / 'gnd.pkl'}",
    ]
    refused = run_tool(*arguments)
    assert refused.returncode == 1 and "dataset_images_dir" in refused.stderr
    done = run_tool(*arguments, f"--dataset_images_dir={data / 'jpg'}")
    assert done.returncode == 0, done.stderr
    found = json.loads((model / FOLDER / "map.json").read_text())
    assert set(found) == {"float32", "int8"}
    # Under each protocol the other's positive is junk: one image is left.
    for values in found.values():
        assert values["easy"] == values["easy_after_gv"] == 100
        assert values["hard"] == 100
        assert f"{values['medium']:.2f}" in done.stdout


@pytest.mark.parametrize("size, waiting", [(1, 0), (3, 4), (4, 100), (2, 1)])
def test_batches_lose_nothing_and_mix_nothing(size, waiting):
    keys = np.random.default_rng(size).integers(0, 5, 200)
    items = list(enumerate(keys.tolist()))
    taken = 0

    def stream():
        nonlocal taken
        for item in items:
            taken += 1
            yield item

    given = 0
    groups = []
    for group in batches(
        stream(), lambda item: item[1], lambda _: size, waiting
    ):
        groups.append(group)
        given += len(group)
        # Never more in memory than may wait, and the batch itself.
        assert taken - given <= waiting + size
    assert sorted(itertools.chain(*groups)) == items
    for group in groups:
        assert 1 <= len(group) <= size
        assert len({key for _, key in group}) == 1
        assert group == sorted(group)
    if waiting >= len(items):
        assert len(groups) == sum(
            -(-np.sum(keys == key) // size) for key in range(5)
        )
