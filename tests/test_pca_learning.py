import pathlib

import numpy as np
import pytest
from google.protobuf import text_format
from sklearn.decomposition import PCA
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.extraction import pca_learning
from delg_tf.extraction.pca_learning import find_feature_files, learn_pca
from delg_tf.extraction.post_processing import (
    load_pca,
    post_process,
    unit_rows,
)
from delg_tf.features import feature_io
from delg_tf.features.datum_io import array_to_datum, read_datum
from delg_tf.features.local_features import LocalFeatures
from delg_tf.protos import delf_config_pb2, feature_pb2

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPTH = 12


def _features(descriptors):
    count = len(descriptors)
    return LocalFeatures(
        locations=np.zeros((count, 2)),
        descriptors=descriptors,
        scales=np.ones(count),
        attention=np.ones(count),
        orientations=np.zeros(count),
    )


def _write(folder, *parts, suffix=".delg_local"):
    folder.mkdir(exist_ok=True)
    for number, part in enumerate(parts):
        path = folder / f"{number:02}{suffix}"
        if suffix == ".delg_global":
            feature_io.write_global_descriptor(path, part)
        else:
            feature_io.write_local_features(path, _features(part))
    return folder


def _descriptors(count=400, seed=0):
    """Correlated, far from the origin, and not of unit length."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(DEPTH, DEPTH)) * 0.7 ** np.arange(DEPTH)
    raw = rng.normal(size=(count, DEPTH)) @ mixing.T + 3
    return np.float32(raw * rng.uniform(0.5, 2, (count, 1)))


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Three files of different length, and one without features."""
    folder = tmp_path_factory.mktemp("local")
    parts = np.split(_descriptors(), [3, 200])
    _write(folder, parts[0], np.zeros((0, 0)), *parts[1:])
    (folder / "02.delg_local").rename(folder / "02.delf")
    return folder


def _learn(folder, dim, *arguments, kind="local"):
    return learn_pca(find_feature_files(folder, kind), kind, dim, *arguments)


def _assert_equal(actual, descriptors, dim):
    """Compares with scikit-learn's PCA of unit descriptors."""
    units = descriptors.astype(np.float64)
    units /= np.sqrt((units**2).sum(axis=1, keepdims=True))
    theirs = PCA(dim, svd_solver="full").fit(units)
    assert actual.num_descriptors == len(descriptors)
    np.testing.assert_allclose(actual.mean, theirs.mean_, atol=1e-12)
    np.testing.assert_allclose(
        actual.variances, theirs.explained_variance_, rtol=1e-9
    )
    signs = np.sign(np.sum(actual.components * theirs.components_, axis=1))
    np.testing.assert_allclose(
        actual.components, signs[:, None] * theirs.components_, atol=1e-8
    )
    assert actual.explained == pytest.approx(
        theirs.explained_variance_ratio_.sum()
    )


@pytest.mark.parametrize("batch", [1, 7, 4096])
def test_local_equals_scikit_learn(local, monkeypatch, batch):
    monkeypatch.setattr(pca_learning, "_BATCH", batch)
    actual = _learn(local, 5)
    _assert_equal(actual, _descriptors(), 5)
    rows = np.arange(5)
    largest = np.abs(actual.components).argmax(axis=1)
    assert (actual.components[rows, largest] > 0).all()


@pytest.mark.parametrize("batch", [7, 4096])
def test_global_equals_scikit_learn(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(pca_learning, "_BATCH", batch)
    descriptors = _descriptors(40)
    # The one of an image that is too small is empty.
    parts = [*descriptors[:9], np.zeros(0, np.float32), *descriptors[9:]]
    _write(tmp_path, *parts, suffix=".delg_global")
    _assert_equal(_learn(tmp_path, DEPTH, kind="global"), descriptors, DEPTH)


def test_drawing_is_in_proportion_and_uniform(tmp_path):
    # All descriptors of a file are one axis, so the mean tells the shares.
    counts = np.array([3, 0, 40, 1, 17])
    one_axis = [np.tile(np.eye(5)[i], (n, 1)) for i, n in enumerate(counts)]
    folder = _write(tmp_path / "axes", *one_axis)
    shares = []
    for seed in range(200):
        pca = _learn(folder, 2, 20, seed)
        assert pca.num_descriptors == 20
        shares.append(np.rint(20 * pca.mean).astype(int))
    exact = counts * 20 / counts.sum()
    assert (np.abs(np.array(shares) - exact) < 1).all()
    np.testing.assert_allclose(np.mean(shares, axis=0), exact, atol=0.12)
    # In a file each descriptor is as likely as any other: 4 of 10.
    folder = _write(tmp_path / "one", np.eye(10))
    drawn = [_learn(folder, 2, 4, seed).mean > 0 for seed in range(200)]
    assert (np.sum(drawn, axis=1) == 4).all()
    assert (np.abs(np.sum(drawn, axis=0) - 80) < 35).all()


def test_drawing_is_a_function_of_the_seed(local):
    first, same, other = (_learn(local, 3, 100, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.components, same.components)
    assert not np.array_equal(first.mean, other.mean)
    # No more than there are: all.
    _assert_equal(_learn(local, 3, 400, 1), _descriptors(), 3)


def _of_another_make(*depths):
    """A message whose features differ in length, as no file of ours."""
    message = feature_pb2.DelfFeatures()
    for depth in depths:
        feature = message.feature.add(x=1.0, strength=2.0)
        feature.descriptor.CopyFrom(array_to_datum(np.ones(depth)))
        if len(message.feature) % 2:
            feature.y = 3.0
    return message.SerializeToString()


def test_count_local_features(tmp_path):
    path = tmp_path / "a.delg_local"
    for count in (0, 1, 2, 300):
        # Long features, whose length takes two bytes, and short ones.
        for depth in (3, 128):
            written = np.ones((count, depth))
            feature_io.write_local_features(path, _features(written))
            assert feature_io.count_local_features(path) == count
    path.write_bytes(_of_another_make(4, 4, 4))
    assert feature_io.count_local_features(path) == 3
    for damaged in (b"\n", b"\xff" * 40, path.read_bytes()[:-3]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.delg_local is"):
            feature_io.count_local_features(path)
    with pytest.raises(InputError, match="does not exist"):
        feature_io.count_local_features(tmp_path / "b")


def _parameters(text):
    config = text_format.Parse(text, delf_config_pb2.DelfConfig())
    assert config.delf_local_config.use_pca
    return config.delf_local_config.pca_parameters


def test_extraction_uses_what_was_learned(local, tmp_path):
    pca_learning.write_pca(tmp_path, _learn(local, 6))
    parameters = _parameters(pca_learning.config_lines(tmp_path, "local", 6))
    assert not parameters.use_whitening
    parameters.use_whitening = True
    parameters.pca_dim = 4
    pca = load_pca(parameters)
    whitened = pca(unit_rows(_descriptors()))
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(4), atol=1e-3)
    units = unit_rows(np.float64(_descriptors()))
    theirs = PCA(4, whiten=True, svd_solver="full").fit_transform(units)
    theirs *= np.sign(np.sum(theirs * whitened, axis=0))
    np.testing.assert_allclose(
        post_process(_descriptors(), pca), unit_rows(theirs), atol=1e-3
    )


def test_components_without_variance(tmp_path):
    # Four descriptors span three dimensions around their mean.
    folder = _write(tmp_path / "features", _descriptors(4))
    pca = _learn(folder, 4)
    assert (pca.variances[:3] > 0).all() and pca.variances[3] == 0
    assert pca.explained == pytest.approx(1)
    pca_learning.write_pca(tmp_path, pca)
    parameters = _parameters(pca_learning.config_lines(tmp_path, "local", 4))
    parameters.use_whitening = True
    with pytest.raises(InputError, match="4 positive variances"):
        load_pca(parameters)


@pytest.mark.parametrize(
    ("parts", "arguments", "message"),
    [
        ([_descriptors(9)], (0,), "dim must be at least 1"),
        ([_descriptors(9)], (4, 3), "max_descriptors must be at least 4"),
        ([_descriptors(9)], (1, 1), "max_descriptors must be at least 2"),
        ([_descriptors(9)], (4, 9, -1), "seed must be at least 0"),
        ([_descriptors(20)], (13,), r"dim is 13, .*00\.delg_local have only"),
        ([_descriptors(3), _descriptors(2)], (6,), "are 5 descriptors"),
        ([np.zeros((0, 0))], (1,), "are 0 descriptors"),
        ([np.ones((9, DEPTH))] * 2, (2,), "All 18 descriptors are the same"),
        (
            [_descriptors(9), np.zeros((0, 0)), np.ones((9, 3))],
            (2,),
            r"02\.delg_local has descriptors of 3 numbers, .*00\.delg_local",
        ),
    ],
)
def test_bad_input(tmp_path, parts, arguments, message):
    folder = _write(tmp_path / "features", *parts)
    with pytest.raises(InputError, match=message):
        _learn(folder, *arguments)


def test_missing_and_damaged_files(local, tmp_path):
    with pytest.raises(InputError, match=r"has no \*\.delg_global file"):
        find_feature_files(local, "global")
    with pytest.raises(InputError, match="none does not exist"):
        find_feature_files(tmp_path / "none", "local")
    with pytest.raises(InputError, match="kind must be one of"):
        learn_pca([], "both", 2)
    # Too few by what is in the files, not by their number.
    nothing = [np.zeros(0, np.float32)] * 5
    folder = _write(tmp_path / "small", *nothing, suffix=".delg_global")
    with pytest.raises(InputError, match="are 0 descriptors"):
        _learn(folder, 2, kind="global")
    folder = _write(tmp_path / "bad", _descriptors(9))
    (folder / "01.delg_local").write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match=r"01\.delg_local is damaged"):
        _learn(folder, 2)


def test_tool(local, tmp_path):
    output = tmp_path / "pca"
    flags = [f"--features_dir={local}", f"--output_dir={output}"]
    done = run_tool("tools/learn_pca.py", *flags, "--dim=5")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == [
        "mean.datum",
        "pca_proj_mat.datum",
        "pca_variances.datum",
    ]
    assert read_datum(output / "pca_proj_mat.datum").shape == (5, DEPTH)
    assert read_datum(output / "pca_variances.datum").shape == (5,)
    assert "keep" in done.stderr
    # The printed lines are read by extraction as they are.
    head, lines = done.stdout.split("\n\n", 1)
    expected = _learn(local, 5)
    assert f"{100 * expected.explained:.2f} %" in head
    pca = load_pca(_parameters(lines))
    np.testing.assert_allclose(pca.matrix, expected.components, atol=1e-6)
    np.testing.assert_allclose(pca.mean, expected.mean, atol=1e-6)
    before = (output / "mean.datum").read_bytes()
    for arguments, text in (
        (["--dim=4"], "--overwrite"),
        # It fails when it is at work: the older files stay.
        (["--dim=13", "--overwrite"], "error: dim is 13"),
        (["--dim=4", "--kind=global"], "has no *.delg_global"),
    ):
        done = run_tool("tools/learn_pca.py", *flags, *arguments)
        assert done.returncode == 1
        assert text in done.stderr and "Traceback" not in done.stderr
        assert (output / "mean.datum").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["pca"]
    assert (
        run_tool(
            "tools/learn_pca.py", *flags, "--dim=4", "--overwrite"
        ).returncode
        == 0
    )
    assert read_datum(output / "pca_variances.datum").shape == (4,)
