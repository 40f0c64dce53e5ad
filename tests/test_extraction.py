import numpy as np
import pytest
import tensorflow as tf
from extraction_inputs import (
    SCALES,
    export_models,
    extraction_config,
    picture,
    save_image,
    write_pca,
)

from delg_tf.common.errors import InputError
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.images import (
    LoadedImage,
    UnreadableImageError,
    load_image,
    resize_image,
)
from delg_tf.protos import delf_config_pb2


def exact(config):
    """As the export's own signature computes: in float32."""
    return Extractor(config, "tensorflow", "float32")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return export_models(tmp_path_factory.mktemp("models"))


def _raw(models, pixels, scales=SCALES, number=60, threshold=0.0):
    """What the exported model gives for these very pixels."""
    signature = tf.saved_model.load(str(models / "local_and_global"))
    outputs = signature.signatures["serving_default"](
        input_image=tf.constant(pixels),
        input_scales=tf.constant(scales, tf.float32),
        input_max_feature_num=tf.constant(number),
        input_abs_thres=tf.constant(threshold, tf.float32),
        input_global_scales_ind=tf.constant([1, 2]),
    )
    return {name: value.numpy() for name, value in outputs.items()}


def test_features_of_an_image_of_its_own_size(models):
    pixels = picture()
    features = exact(extraction_config(models / "local_and_global")).extract(
        LoadedImage(pixels)
    )
    raw = _raw(models, pixels)
    local = features.local
    assert len(local) == 60
    assert (np.diff(local.attention) <= 0).all()
    np.testing.assert_allclose(local.attention, raw["scores"][:, 0], rtol=1e-5)
    middles = (raw["boxes"][:, :2] + raw["boxes"][:, 2:]) / 2
    # Scores that differ by rounding alone may change places.
    mine, its = (
        np.lexsort((*np.round(places, 2).T, scales))
        for places, scales in (
            (local.locations, local.scales),
            (middles, raw["scales"]),
        )
    )
    np.testing.assert_allclose(local.locations[mine], middles[its], atol=1e-4)
    np.testing.assert_allclose(
        np.unique(local.scales), [1 / 1.4142135, 1.0, 2.0], rtol=1e-6
    )
    norms = np.linalg.norm(raw["features"], axis=1, keepdims=True)
    np.testing.assert_allclose(
        local.descriptors[mine], (raw["features"] / norms)[its], atol=1e-5
    )
    vectors = raw["global_descriptors"]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = units.mean(axis=0)
    np.testing.assert_allclose(
        features.global_descriptor, mean / np.linalg.norm(mean), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["local_and_global", "official"])
def test_resized_images_have_locations_and_scales_of_the_original(models, kind):
    pixels = picture(200, 301)
    # 301 -> 120, 200 -> 79.73 -> 80: the factors differ a little.
    config = extraction_config(models / kind, max_image_size=120)
    found = exact(config).extract(LoadedImage(pixels)).local
    config.delf_local_config.use_resized_coordinates = True
    resized = exact(config).extract(LoadedImage(pixels)).local
    np.testing.assert_array_equal(found.descriptors, resized.descriptors)
    factors = np.array([80 / 200, 120 / 301])
    if kind == "official":  # About the first pixel's centre.
        expected = resized.locations / factors
    else:  # About the image's corner.
        expected = (resized.locations + 0.5) / factors - 0.5
    np.testing.assert_allclose(found.locations, expected, atol=1e-3)
    np.testing.assert_allclose(
        found.scales, resized.scales / np.sqrt(factors.prod()), rtol=1e-6
    )
    if kind != "official":
        small, _ = resize_image(pixels, config)
        raw = _raw(models, small)
        middles = (raw["boxes"][:, :2] + raw["boxes"][:, 2:]) / 2
        np.testing.assert_allclose(resized.locations, middles, atol=1e-4)
        np.testing.assert_allclose(resized.scales, raw["scales"])


def test_a_cropped_query_has_locations_in_the_whole_image(models, tmp_path):
    path = save_image(tmp_path / "q.png", picture(150, 200))
    box = (60, 20, 160, 110)
    config = extraction_config(models / "local_and_global", max_image_size=120)
    query = exact(config).extract(load_image(path, box))
    # The part alone, half as long as the whole, with half the limit.
    config.max_image_size = 60
    part = exact(config).extract(
        LoadedImage(np.ascontiguousarray(picture(150, 200)[20:110, 60:160]))
    )
    np.testing.assert_allclose(
        query.local.locations,
        np.add(part.local.locations, [20, 60]),
        atol=1e-4,
    )
    np.testing.assert_array_equal(
        query.local.descriptors, part.local.descriptors
    )
    np.testing.assert_array_equal(query.local.scales, part.local.scales)
    np.testing.assert_array_equal(
        query.global_descriptor, part.global_descriptor
    )


def test_thresholds_stored_with_the_model(models):
    config = extraction_config(models / "local_and_global")
    config.delf_local_config.max_feature_num = 1000
    extractor = exact(config)
    scores = extractor.extract(LoadedImage(picture())).local.attention
    thresholds = (
        extractor.metadata.attention_median,
        extractor.metadata.attention_percentile_75,
    )
    kinds = (
        delf_config_pb2.DelfLocalFeatureConfig.MEDIAN,
        delf_config_pb2.DelfLocalFeatureConfig.PERCENTILE_75,
    )
    counts = [len(scores)]
    for kind, threshold in zip(kinds, thresholds):
        config.delf_local_config.use_model_score_threshold = kind
        extractor = exact(config)
        found = extractor.extract(LoadedImage(picture())).local.attention
        np.testing.assert_array_equal(found, scores[scores >= threshold])
        counts.append(len(found))
    assert counts[0] > counts[1] > counts[2] > 0


def test_each_kind_of_feature_alone_is_what_it_is_with_the_other(models):
    both = exact(extraction_config(models / "local_and_global")).extract(
        LoadedImage(picture())
    )
    alone = exact(
        extraction_config(models / "local_and_global", use_local_features=False)
    ).extract(LoadedImage(picture()))
    assert alone.local is None
    np.testing.assert_allclose(
        alone.global_descriptor, both.global_descriptor, atol=1e-6
    )
    alone = exact(
        extraction_config(models / "local", use_global_features=False)
    ).extract(LoadedImage(picture()))
    assert alone.global_descriptor is None
    np.testing.assert_allclose(
        alone.local.locations, both.local.locations, atol=1e-4
    )


def test_too_small_an_image_has_no_features(models):
    features = exact(extraction_config(models / "local_and_global")).extract(
        LoadedImage(np.zeros((9, 300, 3), np.uint8))
    )
    assert features.global_descriptor.shape == (0,)
    assert len(features.local) == 0
    features = exact(extraction_config(models / "local_and_global")).extract(
        LoadedImage(np.zeros((10, 300, 3), np.uint8))
    )
    assert features.global_descriptor.shape == (32,)
    assert len(features.local) > 0
    # By the size after resizing: 1024 x 1.
    config = extraction_config(models / "local_and_global", max_image_size=1024)
    features = Extractor(config).extract(
        LoadedImage(np.zeros((20, 20000, 3), np.uint8))
    )
    assert features.is_empty


def test_what_is_too_large_for_the_network_is_unreadable(models, monkeypatch):
    # A line becomes a square of 400 million pixels.
    line = LoadedImage(np.zeros((20, 20000, 3), np.uint8))
    config = extraction_config(
        models / "local_and_global", use_square_images=True
    )
    extractor = Extractor(config)
    with pytest.raises(UnreadableImageError, match="`max_image_size`"):
        extractor.extract(line)

    def no_memory(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(extractor._model, "run_batch", no_memory)
    with pytest.raises(UnreadableImageError, match="30 x 30 pixels"):
        extractor.extract(LoadedImage(np.zeros((30, 30, 3), np.uint8)))


def test_models_that_do_not_fit_the_configuration(models, tmp_path):
    with pytest.raises(InputError, match="global_descriptors"):
        exact(extraction_config(models / "local"))
    with pytest.raises(InputError, match=r"saved_model\.pb"):
        exact(extraction_config(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"no model at all")
    with pytest.raises(InputError, match="cannot be loaded"):
        exact(extraction_config(tmp_path))
    config = extraction_config(models / "local_and_global")
    config.delf_local_config.use_pca = True
    with pytest.raises(InputError, match="use_pca: false"):
        exact(config)
    parameters, _ = write_pca(tmp_path)
    config.delf_local_config.pca_parameters.CopyFrom(parameters)
    with pytest.raises(InputError, match="descriptors of 4"):
        exact(config)
