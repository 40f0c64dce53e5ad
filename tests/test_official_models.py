"""The released models' configurations, graphs and features."""

import logging
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from extraction_inputs import extraction_config, picture, save_image
from official_models import DEPTH, RAW_DEPTH, derive, save_tf1, save_tf2
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.extraction.config import load_config
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.images import LoadedImage, resize_image
from delg_tf.features.datum_io import write_datum
from delg_tf.features.feature_io import read_local_features

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Facts of the official configurations: model and score threshold.
DELG = {
    "r50delg_gld_20200814": 175.0,
    "r101delg_gld_20200814": 166.1,
    "r50delg_gldv2clean_20200914": 454.6,
    "r101delg_gldv2clean_20200914": 357.48,
}
DELG_SCALES = (0.25, 0.35355338, 0.5, 0.70710677, 1.0, 1.4142135, 2.0)
DELF_SCALES = (0.25, 0.3536, 0.5, 0.7071, 1.0, 1.4142, 2.0)


def delg_text(name):
    scales = "\n".join(f"image_scales: {scale}" for scale in DELG_SCALES)
    return f"""
        model_path: "parameters/{name}"
        {scales}
        max_image_size: 1024
        use_local_features: true
        use_global_features: true
        delf_local_config {{
          use_pca: false
          max_feature_num: 1000
          score_threshold: {DELG[name]}
        }}
        delf_global_config {{
          use_pca: false
          image_scales_ind: 3 image_scales_ind: 4 image_scales_ind: 5
        }}
    """


def delf_text(whitening):
    scales = "\n".join(f"image_scales: {scale}" for scale in DELF_SCALES)
    pca = "parameters/delf_gld_20190411/pca"
    return f"""
        model_path: "parameters/delf_gld_20190411/model/"
        {scales}
        is_tf2_exported: false
        delf_local_config {{
          use_pca: true
          iou_threshold: 1.0
          max_feature_num: 1000
          score_threshold: 100.0
          pca_parameters {{
            mean_path: "{pca}/mean.datum"
            projection_matrix_path: "{pca}/pca_proj_mat.datum"
            pca_dim: 4
            use_whitening: {str(whitening).lower()}
            pca_variances_path: "{pca}/pca_vars.datum"
          }}
        }}
    """


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_tf1(folder / "tf1")
    save_tf2(folder / "tf2")
    return folder


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def by_place(locations, scales, *columns):
    """Rows in an order that does not hang on nearly equal scores."""
    y, x = np.round(np.transpose(locations), 2)
    order = np.lexsort((x, y, np.round(scales, 3)))
    return [np.asarray(part)[order] for part in (locations, scales, *columns)]


def check_local(local, derived, factors, count):
    """Holds features against the best `count` derived ones."""
    locations, descriptors, scales, scores = (
        np.array(part)[:count] for part in derived[:4]
    )
    assert len(local) == count
    np.testing.assert_allclose(local.attention, scores, rtol=1e-4)
    found = by_place(
        local.locations, local.scales, local.descriptors, local.attention
    )
    expected = by_place(
        locations / factors,
        scales / np.sqrt(np.prod(factors)),
        descriptors,
        scores,
    )
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "style", "field"),
    [
        ("r50delg_gld_20200814", "tf1", ""),
        ("r101delg_gld_20200814", "tf1", "is_tf2_exported: false"),
        ("r50delg_gldv2clean_20200914", "tf1", "is_tf2_exported: false"),
        ("r101delg_gldv2clean_20200914", "tf1", ""),
        # Exports of the same networks.
        ("r50delg_gld_20200814", "tf2", "is_tf2_exported: true"),
        ("r101delg_gldv2clean_20200914", "tf2", ""),
    ],
)
def test_official_delg_configurations_run_unchanged(
    models, tmp_path, monkeypatch, caplog, name, style, field
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parameters").mkdir()
    (tmp_path / "parameters" / name).symlink_to(models / style)
    pathlib.Path("config.pbtxt").write_text(delg_text(name) + field)
    config = load_config("config.pbtxt")
    pixels = np.tile(picture(300, 430, 0, 0), (1, 3, 1))
    with caplog.at_level(logging.WARNING):
        features = Extractor(config).extract(LoadedImage(pixels))
    # Absent is false.
    wrong = style == "tf2" and not field
    assert ("`is_tf2_exported: false`" in caplog.text) == wrong
    resized, factors = resize_image(pixels, config)
    assert max(resized.shape) == 1024
    derived = derive(resized, DELG_SCALES, DELG[name])
    count = min(len(derived[0]), 1000)
    assert (count == 1000) == (DELG[name] < 300)
    derived = (derived[0], unit(derived[1]), *derived[2:])
    check_local(features.local, derived, factors, count)
    vectors = unit(derived[4][3:6])
    np.testing.assert_allclose(
        features.global_descriptor, unit(vectors.sum(axis=0)), atol=1e-4
    )


@pytest.mark.parametrize(
    ("use_resource", "parts"),
    [
        (False, ("both", "use_local_features", "use_global_features")),
        (True, ("both",)),
    ],
)
def test_a_tf1_model_gives_what_the_tf2_export_gives(
    models, tmp_path, use_resource, parts
):
    save_tf1(tmp_path / "tf1", use_resource=use_resource)
    pixels = LoadedImage(picture())
    for part in parts:
        found, expected = (
            Extractor(
                extraction_config(
                    path,
                    is_tf2_exported=path == models / "tf2",
                    **({} if part == "both" else {part: False}),
                )
            ).extract(pixels)
            for path in (tmp_path / "tf1", models / "tf2")
        )
        np.testing.assert_array_equal(
            found.global_descriptor, expected.global_descriptor
        )
        assert (found.local is None) == (part == "use_local_features")
        if found.local is not None:
            for name, value in vars(expected.local).items():
                np.testing.assert_array_equal(vars(found.local)[name], value)


@pytest.fixture
def delf(tmp_path, monkeypatch):
    """An older model: local features of full depth, with a PCA beside it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "parameters" / "delf_gld_20190411"
    without = ("input_global_scales_ind", "global_descriptors")
    save_tf1(folder / "model", False, without, unknown_depth=True)
    rng = np.random.default_rng(5)
    arrays = {
        "mean": rng.normal(size=RAW_DEPTH) / 10,
        "pca_proj_mat": rng.normal(size=(RAW_DEPTH, RAW_DEPTH)),
        "pca_vars": rng.uniform(0.5, 2, RAW_DEPTH),
    }
    for name, array in arrays.items():
        write_datum(folder / "pca" / f"{name}.datum", array)
    return folder, arrays


@pytest.mark.parametrize("whitening", [False, True])
def test_the_official_delf_configuration_runs_unchanged(delf, whitening):
    _, arrays = delf
    pathlib.Path("config.pbtxt").write_text(delf_text(whitening))
    pixels = picture(150, 200)
    features = Extractor(load_config("config.pbtxt")).extract(
        LoadedImage(pixels)
    )
    assert features.global_descriptor is None
    derived = derive(pixels, DELF_SCALES, 100, reduced=False)
    projected = unit(derived[1]) - arrays["mean"]
    projected = projected @ arrays["pca_proj_mat"][:4].T
    if whitening:
        projected = projected / np.sqrt(arrays["pca_vars"][:4])
    derived = (derived[0], unit(projected), *derived[2:])
    assert 100 < len(derived[0]) < 1000
    check_local(features.local, derived, (1.0, 1.0), len(derived[0]))


def test_a_pca_of_another_depth_is_found_when_the_model_runs(delf):
    folder, _ = delf
    write_datum(folder / "pca" / "mean.datum", np.zeros(RAW_DEPTH + 1))
    write_datum(folder / "pca" / "pca_proj_mat.datum", np.eye(RAW_DEPTH + 1))
    pathlib.Path("config.pbtxt").write_text(delf_text(False))
    extractor = Extractor(load_config("config.pbtxt"))
    with pytest.raises(InputError, match=r"of 11 numbers; 'features' .* 10"):
        extractor.extract(LoadedImage(picture()))


def test_tool_extracts_by_the_official_delf_configuration(delf, tmp_path):
    pathlib.Path("config.pbtxt").write_text(delf_text(False))
    save_image(tmp_path / "images" / "a.png", picture())
    done = run_tool(
        "tools/extract_features.py",
        "--delf_config_path=config.pbtxt",
        "--images_dir=images",
        "--output_features_dir=features",
        "--local_features_extension=.delf",
        cwd=pathlib.Path.cwd(),
    )
    assert done.returncode == 0, done.stderr
    # TensorFlow has a lot to say about the variables of such models.
    assert "reference variable" not in done.stderr
    assert [path.name for path in (tmp_path / "features").iterdir()] == [
        "a.delf"
    ]
    features = read_local_features(tmp_path / "features" / "a.delf")
    assert features.depth == 4 and len(features) > 20


def test_a_tf1_model_that_is_said_to_be_a_tf2_export(models, tmp_path, caplog):
    # No tensor has the official name: it can only be run by its signature.
    save_tf1(tmp_path / "both", without=["boxes"], signature=True)
    found = []
    for path, field, warned in (
        (models / "tf1", False, False),
        (models / "tf1", True, True),
        (tmp_path / "both", True, False),
    ):
        config = extraction_config(path, is_tf2_exported=field)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found.append(Extractor(config).extract(LoadedImage(picture())))
        assert ("`is_tf2_exported: true`" in caplog.text) == warned
        assert ("TF1-style" in caplog.text) == warned
        assert "reference variable" not in caplog.text
    for features in found[1:]:
        np.testing.assert_array_equal(
            features.local.descriptors, found[0].local.descriptors
        )


def test_signatures_that_cannot_be_run(tmp_path):
    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "none"))
    config = extraction_config(tmp_path / "none", use_local_features=False)
    with pytest.raises(InputError, match="no signature 'serving_default'"):
        Extractor(config)

    def save(*names):
        specs = {name: tf.TensorSpec([], tf.float32, name) for name in names}
        function = tf.function(
            lambda **x: {"global_descriptors": sum(x.values())}
        )
        path = tmp_path / names[-1]
        concrete = function.get_concrete_function(**specs)
        tf.saved_model.save(module, str(path), {"serving_default": concrete})
        return path

    names = ("input_image", "input_scales", "input_global_scales_ind")
    config.model_path = str(save(*names, "mask"))
    with pytest.raises(InputError, match=r"unknown inputs \['mask'\]"):
        Extractor(config)
    config.model_path = str(save(*names[:2]))
    with pytest.raises(InputError, match=f"no input '{names[2]}'"):
        Extractor(config)


@pytest.mark.parametrize(
    "name",
    ["scores", "global_descriptors", "input_scales", "input_abs_thres"],
)
def test_a_missing_tensor_is_named(tmp_path, name):
    save_tf1(tmp_path / "model", without=[name])
    config = extraction_config(tmp_path / "model", is_tf2_exported=False)
    with pytest.raises(InputError, match=f"model has no tensor '{name}:0'"):
        Extractor(config)
    # What is not asked for need not be there.
    unneeded = {
        "scores": {"use_local_features": False},
        "global_descriptors": {"use_global_features": False},
    }
    if name in unneeded:
        for field, value in unneeded[name].items():
            setattr(config, field, value)
        Extractor(config).extract(LoadedImage(picture()))


def overlap(a, b):
    """Intersection over union of two boxes, (ymin, xmin, ymax, xmax)."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(np.maximum(sides, 0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def test_overlapping_features_are_thinned_out_by_the_configuration(models):
    # Larger than the limit: boxes are compared as the model gives them.
    pixels = picture(200, 320, 0, 0)
    config = extraction_config(
        models / "tf1", is_tf2_exported=False, max_image_size=256
    )
    config.delf_local_config.score_threshold = 50
    config.delf_local_config.iou_threshold = 0.6
    config.delf_local_config.max_feature_num = 10000
    resized, factors = resize_image(pixels, config)
    derived = derive(resized, config.image_scales, 50)
    corner = 145 * np.array(derived[2])[:, np.newaxis]
    boxes = np.hstack([derived[0] - corner, derived[0] + corner])
    kept = []
    for row, box in enumerate(boxes):
        if all(overlap(box, boxes[other]) <= 0.6 for other in kept):
            kept.append(row)
    assert 8 < len(kept) < len(boxes) / 2
    expected = [np.array(part)[kept] for part in derived[:4]]
    expected[1] = unit(expected[1])
    # The number is cut afterwards.
    for number in (10000, 7):
        config.delf_local_config.max_feature_num = number
        found = Extractor(config).extract(LoadedImage(pixels)).local
        count = min(number, len(kept))
        check_local(found, (*expected, None), factors, count)
    config.delf_local_config.score_threshold = 1e6
    found = Extractor(config).extract(LoadedImage(pixels)).local
    assert (len(found), found.depth) == (0, DEPTH)
