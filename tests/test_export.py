import cv2
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from small_models import save_run, small_model

from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.export.modules import (
    GlobalModule,
    LocalAndGlobalModule,
    LocalModule,
    PooledGlobalModule,
)
from delg_tf.export.selection import select_features

SCALES = np.float32([0.5, 0.70710677, 1.0, 1.4142135])

IMAGE = {"input_image": (tf.uint8, [None, None, 3])}
LISTED = {"input_scales": (tf.float32, [None])}
LIMITS = {
    "input_max_feature_num": (tf.int32, []),
    "input_abs_thres": (tf.float32, []),
}
INDICES = {"input_global_scales_ind": (tf.int32, [None])}
FEATURES = {
    "boxes": (tf.float32, [None, 4]),
    "features": (tf.float32, [None, 16]),
    "scales": (tf.float32, [None]),
    "scores": (tf.float32, [None, 1]),
}
VECTORS = {"global_descriptors": (tf.float32, [None, 32])}
# The official TF2 exports' signatures, by kind.
SIGNATURES = {
    "local": (IMAGE | LISTED | LIMITS, FEATURES),
    "global": (IMAGE | LISTED | INDICES, VECTORS),
    "local_and_global": (
        IMAGE | LISTED | LIMITS | INDICES,
        FEATURES | VECTORS,
    ),
    "pooled": (IMAGE, {"global_descriptor": (tf.float32, [32])}),
}


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), model)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """A function from kind to the loaded SavedModel; each is made once."""
    folder, loaded = tmp_path_factory.mktemp("exported"), {}

    def load(kind):
        if kind not in loaded:
            scales = (0.70710677, 1.0, 1.4142135) if kind == "pooled" else ()
            options = ExportOptions(
                kind="global" if scales else kind, pooled_scales=scales
            )
            export_model(run, folder / kind, options, checked=False)
            loaded[kind] = tf.saved_model.load(str(folder / kind))
        return loaded[kind]

    return load


def _image(height=75, width=103):
    picture = skimage.data.astronaut()
    return np.ascontiguousarray(picture[40 : 40 + height, 170 : 170 + width])


def _inputs(image, scales=SCALES, number=10**6, threshold=0.0, indices=(0,)):
    return {
        "input_image": tf.constant(image),
        "input_scales": tf.constant(scales, tf.float32),
        "input_max_feature_num": tf.constant(number),
        "input_abs_thres": tf.constant(threshold, tf.float32),
        "input_global_scales_ind": tf.constant(indices, tf.int32),
    }


def _call(loaded, *arguments, **options):
    signature = loaded.signatures["serving_default"]
    inputs = _inputs(*arguments, **options)
    wanted = signature.structured_input_signature[1]
    outputs = signature(**{name: inputs[name] for name in wanted})
    return {name: value.numpy() for name, value in outputs.items()}


def _direct(model, image, scale):
    """Local features and global descriptor of one level, from the network."""
    size = np.rint(np.float32(image.shape[:2]) * np.float32(scale)).astype(int)
    # OpenCV resizes with half-pixel centres and without anti-aliasing, too.
    level = cv2.resize(
        (image.astype(np.float32) - 128) / 128,
        (int(size[1]), int(size[0])),
        interpolation=cv2.INTER_LINEAR,
    )
    outputs = model(level[np.newaxis], training=False)
    return {
        "features": outputs["descriptors"].numpy().reshape(-1, 16),
        "scores": outputs["scores"].numpy().reshape(-1),
        "vector": outputs["global_descriptor"].numpy()[0],
    }


@pytest.mark.parametrize("kind", sorted(SIGNATURES))
def test_signature_is_the_official_one(exported, kind):
    signature = exported(kind).signatures["serving_default"]
    given = (
        signature.structured_input_signature[1],
        signature.structured_outputs,
    )
    for specs, expected in zip(given, SIGNATURES[kind]):
        found = {
            name: (spec.dtype, spec.shape.as_list())
            for name, spec in specs.items()
        }
        assert found == expected


def test_export_equals_the_network_at_each_scale(model, exported):
    image = _image()
    found = _call(exported("local_and_global"), image, indices=[0, 1, 2, 3])
    direct = [_direct(model, image, scale) for scale in SCALES]
    expected = {
        name: np.concatenate([level[name] for level in direct])
        for name in ("features", "scores")
    }
    expected["scales"] = np.concatenate(
        [
            np.full(len(level["scores"]), 1 / scale)
            for scale, level in zip(SCALES, direct)
        ]
    )
    # Best first; float noise may swap neighbours, so rows are paired by score.
    order = np.argsort(-expected["scores"], kind="stable")
    scores = found["scores"][:, 0]
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(scores, expected["scores"][order], rtol=1e-4)
    for score, features, scale in zip(
        scores, found["features"], found["scales"]
    ):
        near = np.abs(expected["scores"] - score) < 1e-4
        distances = np.abs(expected["features"][near] - features).max(axis=1)
        assert distances.min() < 1e-3
        best = np.flatnonzero(near)[distances.argmin()]
        assert scale == pytest.approx(expected["scales"][best])
    np.testing.assert_allclose(
        found["global_descriptors"],
        [level["vector"] for level in direct],
        rtol=1e-3,
        atol=1e-4,
    )


def test_location_and_descriptor_belong_together(model, exported):
    # One level of scale 1: the cell that a box is of follows from its corner.
    image = _image(96, 160)
    found = _call(exported("local"), image, scales=[1.0])
    descriptors = model.local_features(
        model.trunk((image[np.newaxis].astype(np.float32) - 128) / 128)[
            "block3"
        ]
    )["descriptors"].numpy()[0]
    corners = found["boxes"][:, :2]
    cells = np.rint((corners - corners.min(axis=0)) / 16).astype(int)
    assert len(np.unique(cells, axis=0)) == 6 * 10
    np.testing.assert_allclose(
        found["features"],
        descriptors[cells[:, 0], cells[:, 1]],
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize("kind", ["global", "local_and_global"])
@pytest.mark.parametrize("indices", [[], [2], [3, 0, 1], [1, 1]])
def test_global_descriptors_of_the_scales_asked_for(
    model, exported, kind, indices
):
    image = _image()
    found = _call(exported(kind), image, indices=indices)
    assert found["global_descriptors"].shape == (len(indices), 32)
    for row, index in zip(found["global_descriptors"], indices):
        expected = _direct(model, image, SCALES[index])["vector"]
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-4)


def test_scales_not_asked_for_cost_nothing(model, exported):
    # A level of 64,000 pixels a side would not fit into any memory.
    found = _call(
        exported("global"), _image(64, 64), scales=[1000.0, 1.0], indices=[1]
    )
    assert np.isfinite(found["global_descriptors"]).all()

    calls = []
    conv5 = model.conv5

    class Counted:
        variables = conv5.variables

        def __call__(self, x, training):
            tf.py_function(lambda: calls.append(1), [], [])
            return conv5(x, training=training)

    model.conv5 = None
    try:
        object.__setattr__(model, "conv5", Counted())
        module = LocalAndGlobalModule(model)
        module.extract(**_inputs(_image(), indices=[3, 1]))
    finally:
        object.__setattr__(model, "conv5", conv5)
    assert len(calls) == 2


def test_pooled_export_averages_unit_descriptors(model, exported):
    image = _image()
    found = _call(exported("pooled"), image)["global_descriptor"]
    units = []
    for scale in SCALES[1:]:
        vector = _direct(model, image, scale)["vector"]
        units.append(vector / np.linalg.norm(vector))
    mean = np.mean(units, axis=0)
    np.testing.assert_allclose(
        found, mean / np.linalg.norm(mean), rtol=1e-3, atol=1e-4
    )
    module = PooledGlobalModule(model, SCALES[1:].tolist(), "sum", False)
    total = module.extract(tf.constant(image))["global_descriptor"]
    np.testing.assert_allclose(total, 3 * mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("local", ["trunk", "attention", "encoder"]),
        ("global", ["trunk", "conv5", "whitening"]),
        (
            "local_and_global",
            ["trunk", "attention", "encoder", "conv5", "whitening"],
        ),
    ],
)
def test_an_export_holds_what_it_computes_and_no_more(
    model, exported, kind, parts
):
    layers = {
        "trunk": model.trunk,
        "attention": model.attention,
        "encoder": model.local_reduction.encoder,
        "conv5": model.conv5,
        "whitening": model.whitening,
    }
    expected = [v.shape for part in parts for v in layers[part].variables]
    held = [v.shape for v in exported(kind).model_variables]
    assert sorted(map(tuple, held)) == sorted(map(tuple, expected))
    if kind == "local":
        signature = exported(kind).signatures["serving_default"]
        names = [variable.name for variable in signature.variables]
        assert any("block3" in name for name in names)
        assert not any("block4" in name for name in names)


def test_selection_is_the_best_scores_above_the_threshold(exported):
    image = _image()
    all_of_them = _call(exported("local"), image)
    scores = all_of_them["scores"][:, 0]
    few = _call(exported("local"), image, number=7)
    for name, values in few.items():
        np.testing.assert_array_equal(values, all_of_them[name][:7])
    threshold = scores[len(scores) // 2]
    above = _call(exported("local"), image, threshold=float(threshold))
    assert len(above["scores"]) == (scores >= threshold).sum()
    assert above["scores"].min() == threshold
    none = _call(exported("local"), image, threshold=1e6)
    assert none["features"].shape == (0, 16)
    assert none["boxes"].shape == (0, 4)


def _slow_nms(boxes, scores, number, threshold):
    kept = []
    for index in np.argsort(-scores, kind="stable"):
        overlaps = []
        for other in kept:
            low = np.maximum(boxes[index, :2], boxes[other, :2])
            high = np.minimum(boxes[index, 2:], boxes[other, 2:])
            shared = np.prod(np.maximum(high - low, 0))
            areas = [
                np.prod(boxes[i, 2:] - boxes[i, :2]) for i in (index, other)
            ]
            overlaps.append(shared / (sum(areas) - shared))
        if len(kept) < number and max(overlaps, default=0) <= threshold:
            kept.append(index)
    return kept


def test_overlapping_features_are_suppressed_greedily(model):
    module = LocalModule(model)
    outputs = module.extract(
        tf.constant(_image(200, 230)),
        tf.constant([0.5, 1.0, 2.0]),
        tf.constant(10**6),
        tf.constant(0.0),
    )
    boxes, scores = outputs["boxes"].numpy(), outputs["scores"].numpy()[:, 0]
    expected = _slow_nms(boxes, scores, 40, 0.3)
    assert 5 < len(expected) < len(scores)
    found = select_features(
        outputs["boxes"], outputs["scores"][:, 0], tf.constant(40), 0.3
    )
    assert found.numpy().tolist() == expected
    module = LocalModule(model, iou_threshold=0.3)
    fewer = module.extract(
        tf.constant(_image(200, 230)),
        tf.constant([0.5, 1.0, 2.0]),
        tf.constant(40),
        tf.constant(0.0),
    )
    np.testing.assert_allclose(fewer["boxes"], boxes[expected], atol=1e-3)


def test_local_stride_changes_the_grid_and_nothing_else(
    run, tmp_path, exported
):
    metadata, _ = export_model(
        run, tmp_path / "coarse", ExportOptions(local_stride=32), checked=False
    )
    assert metadata.local_stride == 32
    image = _image(131, 170)
    fine = _call(exported("local_and_global"), image, scales=[0.5, 1.0])
    coarse = _call(
        tf.saved_model.load(str(tmp_path / "coarse")), image, scales=[0.5, 1.0]
    )
    np.testing.assert_allclose(
        coarse["global_descriptors"], fine["global_descriptors"], rtol=1e-4
    )
    assert 0 < len(coarse["boxes"]) < len(fine["boxes"])
    middles = [
        (found["boxes"][:, :2] + found["boxes"][:, 2:]) / 2
        for found in (fine, coarse)
    ]
    for middle, scale, features in zip(
        middles[1], coarse["scales"], coarse["features"]
    ):
        same = (np.abs(middles[0] - middle).max(axis=1) < 1e-2) & (
            fine["scales"] == scale
        )
        assert same.sum() == 1
        np.testing.assert_allclose(
            fine["features"][same][0], features, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize(
    "network",
    [{}, {"stride_position": "first_unit_1x1", "stem": "official"}],
    ids=["default", "official"],
)
def test_odd_and_tiny_images(network):
    # Scale 0.25 makes levels of 2 and 3 pixels; the official stem's pooling
    # has nothing to pool there.
    model = small_model(**network)
    local = LocalAndGlobalModule(model)
    for height, width in ((10, 10), (13, 311), (11, 12), (67, 33)):
        outputs = local.extract(
            **_inputs(
                np.full((height, width, 3), 200, np.uint8),
                scales=[0.25, 1.0],
                indices=[0, 1],
            )
        )
        for name, values in outputs.items():
            assert np.isfinite(values).all(), name
            assert len(values) > 0, name
        assert set(outputs["scales"].numpy()) == {1.0, 4.0}


@pytest.mark.parametrize("reduction, depth", [("fc", 16), ("none", 256)])
def test_export_has_the_depth_of_the_reduction(reduction, depth):
    module = LocalModule(small_model(local_reduction=reduction))
    outputs = module.extract(
        tf.constant(_image()), tf.constant([1.0]), tf.constant(9),
        tf.constant(0.0),
    )  # fmt: skip
    assert outputs["features"].shape == (9, depth)


def test_global_module_takes_no_limits(model):
    module = GlobalModule(model)  # Positional callers rely on the order.
    outputs = module.extract(
        tf.constant(_image()), tf.constant([1.0, 0.5]), tf.constant([1, 0])
    )
    assert outputs["global_descriptors"].shape == (2, 32)
