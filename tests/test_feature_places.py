"""Folders of official and packed files, and stores: one as good as another."""

import subprocess
import sys

import numpy as np
import pytest
from extraction_inputs import extraction_config, save_config
from feature_files import unit_features

from delg_tf.common.errors import InputError
from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.features import feature_io
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.compact.store import ArrowStore
from delg_tf.features.storage.choice import read_local_of
from delg_tf.features.storage.convert import convert_features
from delg_tf.features.storage.skipped import SKIPPED_FILE
from delg_tf.retrieval.feature_store import FeatureStore

NAMES = ("locations", "descriptors", "scales", "attention", "orientations")


def _assert_equal(actual, expected):
    for name in NAMES:
        np.testing.assert_array_equal(
            getattr(actual, name), getattr(expected, name), name
        )


def _descriptor(number):
    vector = np.zeros(16, np.float32)
    vector[[number % 16, (number + 1) % 16]] = 0.6, 0.8
    return vector


@pytest.fixture
def official(tmp_path):
    """A folder of six images; the last one is too small to have features."""
    folder = tmp_path / "official"
    for number in range(6):
        stem = folder / "sub" / f"{number}"
        vector, local = _descriptor(number), unit_features(9, 24, seed=number)
        if number == 5:
            vector = np.zeros(0, np.float32)
            local = feature_io.LocalFeatures.empty()
        feature_io.write_global_descriptor(f"{stem}.delg_global", vector)
        feature_io.write_local_features(f"{stem}.delg_local", local)
    return folder


def _bytes(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.*")
    }


def test_round_the_houses_and_home_again(official, tmp_path):
    packed, store = tmp_path / "packed", tmp_path / "s.arrows"
    convert_features(official, packed, "packed")
    convert_features(packed, store, "store")
    convert_features(store, tmp_path / "home", "official")
    assert _bytes(tmp_path / "home") == _bytes(official)


@pytest.mark.parametrize("kind", ["packed", "store"])
@pytest.mark.parametrize("local_format", ["float32", "int8", "binary"])
def test_all_places_read_alike(official, tmp_path, kind, local_format):
    place = tmp_path / "place"
    summary = convert_features(official, place, kind, local_format, "float16")
    assert summary.converted == 6
    reference, store = FeatureStore(official), FeatureStore(place)
    names = [f"sub/{number}" for number in range(6)]
    assert store.list_names() == names
    np.testing.assert_allclose(
        store.global_descriptors(names),
        reference.global_descriptors(names),
        atol=1e-3,
    )
    store.require_local(names)
    with pytest.raises(InputError, match=r"missing in .*place: sub/6"):
        store.require_local([*names, "sub/6"])
    for name in names:
        expected = EncodedFeatures.encode(
            reference.local_features(name), local_format
        ).decode()
        _assert_equal(store.local_features(name), expected)
        _assert_equal(read_local_of(place, name), expected)
        if kind == "packed":
            path = place / f"{name}.delg_packed"
            _assert_equal(read_local_of(path), expected)


@pytest.mark.parametrize("kind", ["official", "packed", "store"])
def test_conversion_passes_over_damage_and_goes_on(official, tmp_path, kind):
    damaged = official / "sub" / "2.delg_local"
    sound = damaged.read_bytes()
    damaged.write_bytes(b"\xff" * 9)
    output = tmp_path / "out"
    summary = convert_features(official, output, kind)
    assert (summary.converted, summary.reused) == (5, 0)
    assert [name for name, _ in summary.skipped] == ["sub/2"]
    report = output / SKIPPED_FILE
    if kind == "store":
        report = tmp_path / f"out.{SKIPPED_FILE}"
    assert "sub/2" in report.read_text()
    damaged.write_bytes(sound)
    summary = convert_features(official, output, kind)
    assert (summary.converted, summary.reused) == (1, 5)
    assert not report.exists()
    assert len(FeatureStore(output).list_names()) == 6
    if kind != "official":
        with pytest.raises(InputError, match="Choose another"):
            convert_features(official, output, kind, "binary")


def _run(tool, *arguments):
    return subprocess.run(
        [sys.executable, f"tools/{tool}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_tools_take_stores(official, tmp_path):
    store = tmp_path / "binary.arrows"
    done = _run(
        "convert_features",
        f"--features={official}",
        f"--output={store}",
        "--output_kind=store",
        "--local_format=binary",
    )
    assert done.returncode == 0, done.stderr
    assert "6 images written, 0 were there, 0 skipped" in done.stdout
    assert ArrowStore(store).info.local_format == "binary"
    done = _run(
        "match_images",
        f"--features_1_path={store}",
        "--features_1_name=sub/1",
        f"--features_2_path={store}",
        "--features_2_name=sub/1",
    )
    assert "inliers: 9" in done.stdout, done.stderr
    names = [f"sub/{number}" for number in range(6)]
    labels = [np.array(ids, np.int64) for ids in ([1], [2], [])]
    query = RevisitedQuery(*labels)
    truth = RevisitedGroundTruth(names[:1], names, [query])
    save_ground_truth(truth, tmp_path / "gnd.pkl")
    done = _run(
        "evaluate_retrieval",
        f"--dataset_file_path={tmp_path / 'gnd.pkl'}",
        f"--query_features_dir={store}",
        f"--index_features_dir={store}",
        "--use_geometric_verification",
        f"--output_dir={tmp_path / 'evaluation'}",
        "--precision_ranks=1",
    )
    assert done.returncode == 0, done.stderr
    config = save_config(tmp_path, extraction_config(tmp_path))
    for flags, text in (
        ((), "--output_features_dir or --feature_store"),
        (
            (f"--feature_store={store}", f"--output_features_dir={tmp_path}"),
            "--output_features_dir or --feature_store",
        ),
        (
            (f"--output_features_dir={tmp_path}", "--global_format=float16"),
            "--global_format needs --local_format",
        ),
    ):
        done = _run("extract_features", f"--delf_config_path={config}", *flags)
        assert done.returncode == 1
        assert text in done.stderr
