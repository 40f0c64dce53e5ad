"""Two images or feature files in, inliers and a picture out."""

import pathlib

import numpy as np
import pytest
from PIL import Image
from tool_process import run_tool

from delg_tf.features.feature_io import write_local_features
from delg_tf.features.local_features import LocalFeatures

ROOT = pathlib.Path(__file__).parent.parent
# (y, x, 1) of the second image to (y, x) of the first.
MODEL = np.array([[0.9, 0.1, 12.0], [-0.2, 1.1, -5.0]])


@pytest.fixture
def files(tmp_path):
    """Features of two images, the first 40 of 60 related by MODEL."""
    rng = np.random.default_rng(0)
    second = rng.uniform(20, 180, (60, 2))
    first = second @ MODEL[:, :2].T + MODEL[:, 2]
    first[40:] = rng.uniform(20, 180, (20, 2))
    descriptors = np.linalg.qr(rng.normal(size=(64, 64)))[0][:60]
    for name, locations in (("a", first), ("b", second)):
        write_local_features(
            tmp_path / f"{name}.delg_local",
            LocalFeatures(
                locations, descriptors, np.ones(60), np.ones(60), np.zeros(60)
            ),
        )
        pixels = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def test_feature_files_give_the_planted_model_and_a_picture(files):
    result = run_tool(
        "tools/match_images.py",
        f"--features_1_path={files / 'a.delg_local'}",
        f"--features_2_path={files / 'b.delg_local'}",
        f"--image_1_path={files / 'a.png'}",
        f"--image_2_path={files / 'b.png'}",
        f"--output_image={files / 'matches.png'}",
        "--ransac_residual_threshold=1",
    )
    assert result.returncode == 0, result.stderr
    assert "inliers: 40" in result.stdout
    rows = result.stdout.strip().splitlines()[-2:]
    model = np.array([[float(value) for value in row.split()] for row in rows])
    np.testing.assert_allclose(model, MODEL, atol=1e-3)
    assert Image.open(files / "matches.png").width > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--image_1_path or --features_1_path"),
        (
            ["--image_1_path={0}/a.png", "--image_2_path={0}/b.png"],
            "--delf_config_path",
        ),
        (["--image_1_path={0}/none.png"], "none.png"),
        (
            ["--features_1_path={0}/a.png", "--features_2_path={0}/b.png"],
            "a.png",
        ),
        (
            [
                "--features_1_path={0}/a.delg_local",
                "--features_2_path={0}/b.delg_local",
                "--output_image={0}/m.png",
            ],
            "--output_image needs --image_1_path",
        ),
        (
            [
                "--features_1_path={0}/a.delg_local",
                "--features_2_path={0}/b.delg_local",
                "--image_1_path={0}/a.png",
                "--image_2_path={0}/b.png",
                "--output_image={0}/a.png",
            ],
            "exists already",
        ),
    ],
)
def test_bad_input_is_explained(files, arguments, message):
    result = run_tool(
        "tools/match_images.py", *(text.format(files) for text in arguments)
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
