"""Files for other programs and the batch signature, against the network."""

import csv
import dataclasses
import json
import zipfile

import cv2
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from small_models import save_run, small_model
from tensorflow.core.protobuf import saved_model_pb2

from delg_tf.common.errors import InputError
from delg_tf.data.class_labels import labels_of_records
from delg_tf.data.class_list import ClassList
from delg_tf.data.dataset_info import DatasetInfo, save_dataset_info
from delg_tf.export.convert import convert_export
from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.export.formats import FormatOptions
from delg_tf.export.metadata import load_metadata
from delg_tf.training.trained_model import load_record

SCALES = (0.5, 1.4142135)
POOLED = (1, 0)
NUMBER = 40
EXTRA = "assets.extra"


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), model)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for place, size in enumerate([(200, 160), (130, 240), (160, 160)]):
        image = cv2.resize(skimage.data.astronaut(), size)
        cv2.imwrite(str(folder / f"{place}.png"), image[..., ::-1])
    (folder / "broken.jpg").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def exported(run, photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model"
    export_model(
        run,
        path,
        ExportOptions(
            scales=SCALES,
            global_scales=POOLED,
            max_features=NUMBER,
            score_threshold=0.0,
        ),
        formats=FormatOptions(
            ("onnx", "litert_float16", "litert_int8"), str(photos)
        ),
    )
    return path


def pictures():
    """Photographs of several sizes, odd ones too."""
    return [
        cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        for image, size in (
            (skimage.data.rocket(), (161, 120)),
            (skimage.data.chelsea(), (75, 103)),
            (skimage.data.coffee(), (240, 97)),
        )
    ]


def network(model, image, scale):
    """The Keras network on one level."""
    size = np.rint(np.float32(image.shape[:2]) * np.float32(scale)).astype(int)
    level = cv2.resize(
        image.astype(np.float32), (int(size[1]), int(size[0]))
    )  # fmt: skip
    outputs = model((level[np.newaxis] - 128) / 128, training=False)
    return {name: value.numpy() for name, value in outputs.items()}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def expected_of(model, image):
    """Pooled descriptor; scores, descriptors and scales of the best cells."""
    levels = [network(model, image, scale) for scale in SCALES]
    pooled = sum(
        unit(levels[place]["global_descriptor"][0]) for place in POOLED
    )
    scores = np.concatenate([level["scores"].ravel() for level in levels])
    rows = np.concatenate(
        [level["descriptors"].reshape(-1, 16) for level in levels]
    )
    steps = np.concatenate([
        np.full(level["scores"].size, 1 / scale)
        for level, scale in zip(levels, SCALES)
    ])  # fmt: skip
    best = np.argsort(-scores, kind="stable")[:NUMBER]
    return unit(pooled), scores[best], unit(rows[best]), steps[best]


def assert_batch_row(found, expected, tolerance):
    vector, scores, descriptors, scales = expected
    assert found["count"] == len(scores)
    there = slice(0, len(scores))
    np.testing.assert_allclose(
        found["global_descriptor"], vector, atol=tolerance
    )
    np.testing.assert_allclose(
        found["scores"][there], scores, atol=tolerance * scores.max()
    )
    for name in ("scores", "descriptors", "scales", "locations"):
        assert not found[name][len(scores) :].any()
    # Rounding may swap neighbours.
    for row, score in enumerate(found["scores"][there]):
        near = np.abs(scores - score) <= 2 * tolerance * scores.max()
        near &= np.isclose(scales, found["scales"][row], rtol=1e-5)
        distances = np.abs(descriptors[near] - found["descriptors"][row])
        assert distances.max(axis=1).min() < 5 * tolerance


def serve(loaded, batch):
    outputs = loaded.signatures["serve_batch"](images=tf.constant(batch))
    return {name: value.numpy() for name, value in outputs.items()}


def test_serve_batch_gives_what_the_network_gives(model, exported):
    loaded = tf.saved_model.load(str(exported))
    for image in pictures():
        other = image[:, ::-1]
        outputs = serve(loaded, np.stack([image, other]))
        for row, picture in enumerate((image, other)):
            found = {name: value[row] for name, value in outputs.items()}
            assert_batch_row(found, expected_of(model, picture), 1e-4)


def test_serve_batch_places_features_as_the_official_signature(exported):
    loaded = tf.saved_model.load(str(exported))
    [image, *_] = pictures()
    official = loaded.signatures["serving_default"](
        input_image=tf.constant(image),
        input_scales=tf.constant(SCALES),
        input_max_feature_num=tf.constant(NUMBER),
        input_abs_thres=tf.constant(0.0),
        input_global_scales_ind=tf.constant(POOLED),
    )
    boxes = official["boxes"].numpy()
    found = serve(loaded, image[np.newaxis])
    np.testing.assert_allclose(
        found["locations"][0, : len(boxes)],
        (boxes[:, :2] + boxes[:, 2:]) / 2,
        atol=1e-3,
    )


def test_tensorflow_serving_can_batch_requests(exported):
    # As the server reads it: named inputs and outputs, batch first in each.
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((exported / "saved_model.pb").read_bytes())
    [graph] = saved.meta_graphs
    assert "serve" in graph.meta_info_def.tags
    signature = graph.signature_def["serve_batch"]
    assert signature.method_name == "tensorflow/serving/predict"
    [(name, images)] = signature.inputs.items()
    assert name == "images"
    assert images.dtype == tf.uint8.as_datatype_enum
    assert [d.size for d in images.tensor_shape.dim] == [-1, -1, -1, 3]
    shapes = {
        name: [d.size for d in info.tensor_shape.dim]
        for name, info in signature.outputs.items()
    }
    assert shapes == {
        "global_descriptor": [-1, 32],
        "locations": [-1, NUMBER, 2],
        "descriptors": [-1, NUMBER, 16],
        "scales": [-1, NUMBER],
        "scores": [-1, NUMBER],
        "count": [-1],
    }


def test_serve_batch_applies_threshold_and_overlap(model, run, tmp_path):
    [image, *_] = pictures()
    _, scores, _, _ = expected_of(model, image)
    options = ExportOptions(
        kind="local",
        scales=SCALES,
        max_features=NUMBER,
        score_threshold=float(scores[9]),
        iou_threshold=0.5,
    )
    export_model(run, tmp_path / "model", options, checked=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    official = loaded.signatures["serving_default"](
        input_image=tf.constant(image),
        input_scales=tf.constant(SCALES),
        input_max_feature_num=tf.constant(NUMBER),
        input_abs_thres=tf.constant(options.score_threshold),
    )
    found = serve(loaded, np.stack([image[::-1], image]))
    number = len(official["scores"])
    assert 1 < number < 10
    assert found["count"][1] == number
    np.testing.assert_allclose(
        found["scores"][1, :number], official["scores"].numpy()[:, 0], 1e-4
    )
    with pytest.raises(InputError, match="--iou=1"):
        convert_export(tmp_path / "model", FormatOptions(("litert_float16",)))


@pytest.mark.parametrize("name", ["level_both", "level_local", "level_global"])
def test_onnx_files_give_what_the_network_gives(model, exported, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(
        exported / EXTRA / "onnx" / f"{name}.onnx"
    )
    theirs = {
        "scores": lambda outputs: outputs["scores"][..., 0],
        "descriptors": lambda outputs: outputs["descriptors"],
        "global_descriptors": lambda outputs: outputs["global_descriptor"],
    }
    names = [output.name for output in session.get_outputs()]
    kept = {"level_local": 2, "level_global": 1, "level_both": 3}
    assert len(names) == kept[name]
    for image in pictures():
        levels = image[np.newaxis].astype(np.float32)
        expected = network(model, image, 1.0)
        for output, found in zip(names, session.run(names, {"levels": levels})):
            value = theirs[output](expected)
            scale = np.abs(value).max()
            np.testing.assert_allclose(found, value, atol=1e-4 * scale)
    properties = session.get_modelmeta().custom_metadata_map
    stored = load_metadata(exported)
    assert json.loads(properties["delg.json"])["scales"] == list(SCALES)
    assert stored.class_labels in properties


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_litert_files_give_what_the_network_gives(model, exported, precision):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    path = exported / EXTRA / f"litert_{precision}" / "image.tflite"
    runner = litert.Interpreter(str(path)).get_signature_runner()
    for image in pictures():
        outputs = runner(images=image[np.newaxis])
        found = {name: value[0] for name, value in outputs.items()}
        expected = expected_of(model, image)
        if precision == "float16":
            assert_batch_row(found, expected, 5e-3)
            continue
        assert 0.98 < found["global_descriptor"] @ expected[0] < 0.9999999
        assert found["count"] == len(expected[1])
        scores = found["scores"][: found["count"]]
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores.mean(), expected[1].mean(), rtol=0.2)
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read("delg.json"))
        assert archive.read("class_labels.txt") == b"0\n1\n2\n3\n4\n"
    assert content["attention_median"] == 0.25
    assert (content["max_features"], content["score_threshold"]) == (NUMBER, 0)


@pytest.mark.parametrize("name", ["litert_float16", "litert_int8"])
def test_an_export_of_the_global_descriptor_alone(
    model, run, photos, tmp_path, name
):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    path = tmp_path / "model"
    _, agreements = export_model(
        run,
        path,
        ExportOptions(kind="global", scales=SCALES, global_scales=POOLED),
        formats=FormatOptions((name,), str(photos)),
    )
    assert name in agreements[-1].name
    file = path / EXTRA / name / "image.tflite"
    runner = litert.Interpreter(str(file)).get_signature_runner()
    for image in pictures():
        outputs = runner(images=image[np.newaxis])
        assert list(outputs) == ["global_descriptor"]
        cosine = outputs["global_descriptor"][0] @ expected_of(model, image)[0]
        assert cosine > (0.99999 if name == "litert_float16" else 0.98)


def test_every_file_is_compared_and_the_result_kept(exported, photos):
    limits = {"onnx": 1e-4, "litert_float16": 1e-2, "litert_int8": 1}
    for name, limit in limits.items():
        noted = json.loads((exported / EXTRA / name / "check.json").read_text())
        assert 0 < max(noted["differences"].values()) < limit
        assert min(noted["cosines"].values()) > 0.95
    with pytest.raises(InputError, match="exists"):
        convert_export(exported, FormatOptions(("onnx",)))


def test_a_file_that_differs_is_not_kept(run, tmp_path, monkeypatch):
    pooled = "delg_tf.export.serving.pooled"
    monkeypatch.setattr(pooled, lambda vectors: -vectors[0])
    with pytest.raises(InputError, match=r"serve_batch.*not kept"):
        export_model(run, tmp_path / "model", ExportOptions(kind="global"))
    assert not list(tmp_path.iterdir())


def test_labels_of_the_records_are_kept_and_earlier_exports_load(tmp_path):
    records = tmp_path / "records"
    records.mkdir()
    names = ["Eiffel, Paris", "12", "Dom", "x", "y"]
    with (records / "relabeling.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("new_label", "old_label"), *enumerate(names)]
        )
    assert labels_of_records(records, 5) == names
    assert labels_of_records(records, 3) == ["0", "1", "2"]
    classes = ClassList.of(names, 7, {3: 2, 4: 0})
    info = DatasetInfo(5, {}, True, 0, None, "", "", classes)
    save_dataset_info(records, info)
    training = {"train_file_pattern": str(records / "train-*")}
    run = save_run(tmp_path / "run", small_model(), training=training)
    path = tmp_path / "model"
    export_model(run, path, ExportOptions(kind="global"), checked=False)
    kept = (path / EXTRA / load_metadata(path).class_labels).read_text()
    assert kept.splitlines() == names
    stored = load_metadata(path).class_list
    assert stored == dataclasses.asdict(classes)
    assert stored["name"] == "other" and stored["dropped_landmarks"] == 1
    # The training keeps it, too, should the records be removed.
    assert load_record(run).training["class_list"] == stored

    file = path / EXTRA / "delg.json"
    content = json.loads(file.read_text())
    assert content["scales"] == [0.70710677, 1.0, 1.4142135]
    for name in ("scales", "global_scales", "max_features", "descriptors",
                 "score_threshold", "class_labels", "class_list"):  # fmt: skip
        del content[name]
    file.write_text(json.dumps(content))
    assert load_metadata(path).scales == []
    assert load_metadata(path).class_list is None
    with pytest.raises(InputError, match="Export it again"):
        convert_export(path, FormatOptions(("onnx",)))


@pytest.mark.parametrize("options, message", [
    ({"formats": ("coreml",)}, "--formats"),
    ({"formats": ("litert_int8",)}, "--calibration_images_dir"),
    ({"calibration_images": 0}, "positive"),
])  # fmt: skip
def test_bad_formats(options, message):
    with pytest.raises(InputError, match=message):
        FormatOptions(**options)
