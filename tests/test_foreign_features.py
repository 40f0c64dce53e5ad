"""Features of other programs, as plain h5py and NumPy write them."""

import h5py
import numpy as np
import pytest

from delg_tf.common.errors import InputError
from delg_tf.features.feature_io import (
    write_global_descriptor,
    write_local_features,
)
from delg_tf.features.foreign.options import ForeignOptions
from delg_tf.features.local_features import LocalFeatures
from delg_tf.features.storage.choice import open_source, read_local_of
from delg_tf.features.storage.convert import convert_features
from delg_tf.retrieval.feature_store import FeatureStore

DEPTH = 8
RNG = np.random.default_rng(0)


def _arrays(count, columns=2, depth=DEPTH, dtype=np.float32):
    """N x and y, N rows of descriptors, N scores."""
    descriptors = RNG.normal(size=(count, depth))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return {
        "keypoints": RNG.uniform(1, 99, (count, columns)).astype(dtype),
        "descriptors": descriptors.astype(dtype),
        "scores": RNG.uniform(size=count).astype(dtype),
    }


def _write_hloc(path, images):
    """Descriptors become columns."""
    with h5py.File(path, "a") as file:
        for name, arrays in images.items():
            group = file.create_group(name)
            for key, value in arrays.items():
                turned = value.T if key == "descriptors" else value
                group.create_dataset(key, data=turned)
                group[key].attrs["uncertainty"] = 1.0
            group.create_dataset("image_size", data=np.array([100, 100]))
    return path


def _assert_are(found, arrays, shift=0.0):
    keypoints = arrays["keypoints"].astype(np.float32)
    np.testing.assert_array_equal(
        found.locations, keypoints[:, [1, 0]] - np.float32(shift)
    )
    np.testing.assert_array_equal(found.descriptors, arrays["descriptors"])
    np.testing.assert_array_equal(found.attention, arrays["scores"])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_hdf5_of_hloc(tmp_path, dtype):
    images = {
        "db/1.jpg": _arrays(20, dtype=dtype),
        "db/deep/2.PNG": _arrays(3, dtype=dtype),
        # As many as numbers in a descriptor: the others tell the layout.
        "0": _arrays(DEPTH, dtype=dtype),
    }
    images["db/deep/2.PNG"]["scales"] = np.array([1, 2, 4], dtype)
    path = _write_hloc(tmp_path / "feats.h5", images)
    _write_hloc(path, {"none.jpg": _arrays(0, dtype=dtype)})
    store = FeatureStore(path)
    names = ["0", "db/1", "db/deep/2", "none"]
    assert open_source(path).names() == names
    store.require_local(names)
    for name, arrays in zip(names, (images[k] for k in sorted(images))):
        _assert_are(store.local_features(name), arrays)
    two = store.local_features("db/deep/2")
    assert two.scales.tolist() == [1, 2, 4] and not two.orientations.any()
    assert store.local_features("none").descriptors.shape == (0, DEPTH)
    with pytest.raises(InputError, match=r"feats\.h5.*db/3"):
        store.require_local(["db/3"])
    with pytest.raises(InputError, match=r"feats\.h5"):
        store.global_descriptors(["db/1"])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_global_descriptors_of_hloc(tmp_path, dtype):
    vectors = RNG.normal(size=(3, 300))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with h5py.File(tmp_path / "global.h5", "w") as file:
        for number, vector in enumerate(vectors):
            group = file.create_group(f"{number}.jpg")
            group["global_descriptor"] = vector.astype(dtype)
    store = FeatureStore(tmp_path / "global.h5")
    names = store.list_names()
    assert names == ["0", "1", "2"]
    found = store.global_descriptors(names)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, vectors, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_folder_of_numpy_files(tmp_path):
    images = {
        # D2-Net writes to an open file, under an ending of its own.
        "a.jpg.d2-net": _arrays(12, columns=3),
        "sub/b.npz": _arrays(5),
        "sub/c.v2.npz": _arrays(DEPTH),
    }
    (tmp_path / "sub").mkdir()
    for name, arrays in images.items():
        with open(tmp_path / name, "wb") as file:
            np.savez(file, **arrays)
    arrays = _arrays(6, columns=4)
    kinds = [
        (key, value.dtype, value.shape[1:]) for key, value in arrays.items()
    ]
    table = np.zeros(6, kinds)
    for key, value in arrays.items():
        table[key] = value
    np.save(tmp_path / "table.npy", table)
    np.save(tmp_path / "whole.npy", np.array([0.6, 0.8]))
    (tmp_path / "list.txt").write_text("none of them")
    store = FeatureStore(tmp_path)
    expected = dict(zip(("a", "sub/b", "sub/c.v2"), images.values()))
    for name, one in (expected | {"table": arrays}).items():
        found = store.local_features(name)
        _assert_are(found, one)
        if one["keypoints"].shape[1] > 2:
            np.testing.assert_array_equal(found.scales, one["keypoints"][:, 2])
    np.testing.assert_array_equal(
        store.local_features("table").orientations, arrays["keypoints"][:, 3]
    )
    np.testing.assert_allclose(
        store.global_descriptors(["whole"]), [[0.6, 0.8]]
    )
    _assert_are(
        read_local_of(tmp_path / "sub/b.npz"), images["sub/b.npz"]
    )  # As tools/match_images.py reads one.
    # A folder with files of ours is ours.
    write_global_descriptor(tmp_path / "x.delg_global", np.array([1.0]))
    write_local_features(tmp_path / "x.delg_local", LocalFeatures.empty())
    assert FeatureStore(tmp_path).list_names() == ["x"]


def test_what_files_do_not_say_is_an_option(tmp_path):
    arrays = _arrays(DEPTH)
    path = _write_hloc(tmp_path / "one.h5", {"a.jpg": arrays})
    with pytest.raises(InputError, match="--descriptor_layout"):
        FeatureStore(path).local_features("a")
    for layout, turned in (("columns", False), ("rows", True)):
        output = tmp_path / f"{layout}.arrows"
        options = ForeignOptions("corner", layout)
        convert_features(path, output, "store", foreign=options)
        expected = dict(arrays)
        if turned:
            expected["descriptors"] = arrays["descriptors"].T
        _assert_are(FeatureStore(output).local_features("a"), expected, 0.5)
    with pytest.raises(InputError, match="--origin"):
        convert_features(output, tmp_path / "x", "packed", foreign=options)
    # COLMAP's SIFT: bytes, neither scores nor unit length.
    codes = RNG.integers(0, 256, (20, 16), np.uint8)
    (tmp_path / "bytes").mkdir()
    np.savez(
        tmp_path / "bytes" / "a.npz",
        keypoints=arrays["keypoints"][:1].repeat(20, axis=0),
        descriptors=codes,
    )
    plain = FeatureStore(tmp_path / "bytes").local_features("a")
    np.testing.assert_array_equal(plain.descriptors, codes)
    assert (plain.attention == 1).all()
    for name, options, local_format in (
        ("unit", ForeignOptions(normalise=True), "int8"),
        ("bits", ForeignOptions(packed_bits=True), "binary"),
    ):
        output = tmp_path / name
        convert_features(
            tmp_path / "bytes", output, "packed", local_format, foreign=options
        )
        found = open_source(output).read_encoded("a")
        if name == "bits":
            np.testing.assert_array_equal(found.codes, codes)
        else:
            expected = (
                codes / np.linalg.norm(codes.astype(float), axis=1)[:, None]
            )
            np.testing.assert_allclose(
                found.descriptors(), expected, atol=0.004
            )


def _without(key):
    return {k: v for k, v in _arrays(5).items() if k != key}


def _with(**changes):
    return _arrays(5) | changes


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (_without("keypoints"), "no `keypoints`, only descriptors, scores"),
        (_without("descriptors"), "no `descriptors`"),
        (_with(keypoints=np.zeros((5, 7))), r"`keypoints` must be N rows"),
        (_with(scores=np.zeros(4)), r"\[5, 2\] beside 4 scores"),
        (_with(descriptors=np.ones((6, 7))), r"neither \[N, D\] nor \[D, N\]"),
        (_with(descriptors=np.ones(5)), "neither"),
        (_with(scales=np.ones(3)), "scales"),
        (_with(keypoints=np.full((5, 2), np.nan)), "finite"),
        (_with(descriptors=np.full((5, 8), np.inf)), "finite"),
        (_with(keypoints=np.full((5, 2), "x")), "real numbers"),
    ],
)
def test_bad_arrays_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    store = FeatureStore(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        store.local_features("a")
    assert "a.npz" in str(caught.value)


def test_bad_files_are_named(tmp_path):
    whole = _write_hloc(tmp_path / "whole.h5", {"a.jpg": _arrays(200)})
    data = whole.read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.h5 is damaged"):
        FeatureStore(tmp_path / "cut.h5")
    _write_hloc(whole, {"a.png": _arrays(2)})
    with pytest.raises(InputError, match=r"a twice: a\.jpg and a\.png"):
        FeatureStore(whole)
    folder = tmp_path / "numpy"
    folder.mkdir()
    np.save(folder / "pickled.npy", {"keypoints": 1}, allow_pickle=True)
    np.savez(folder / "good.npz", **_arrays(30))
    data = (folder / "good.npz").read_bytes()
    (folder / "cut.npz").write_bytes(data[: len(data) // 2])
    (folder / "text.npz").write_text("no arrays")
    store = FeatureStore(folder)
    for name in ("pickled.npy", "cut.npz", "text.npz"):
        with pytest.raises(InputError, match=name):
            store.local_features(name[:-4])
    # Copying leaves them out, and says so.
    summary = convert_features(folder, tmp_path / "out", "packed")
    assert summary.converted == 1
    assert [name for name, _ in summary.skipped] == ["cut", "pickled", "text"]
