"""SIFT and ORB: as OpenCV gives them, at the right places."""

import functools
import json

import cv2
import numpy as np
import pytest
import skimage.data
from extraction_inputs import picture, save_image
from tool_process import run_tool

from delg_tf.common.errors import InputError
from delg_tf.extraction.detectors.config import DetectorConfig
from delg_tf.extraction.detectors.extractor import DetectorExtractor
from delg_tf.extraction.image_list import images_in_folder
from delg_tf.extraction.images import LoadedImage
from delg_tf.extraction.outputs import detector_sink
from delg_tf.extraction.run import run_extraction
from delg_tf.features.compact.encoded import EncodedFeatures
from delg_tf.features.feature_io import read_local_features
from delg_tf.features.storage.choice import open_source
from delg_tf.features.storage.skipped import SKIPPED_FILE
from delg_tf.matching.config import MatchingConfig
from delg_tf.matching.match import match_local_features


def _extract(pixels, detector, offset=(0, 0), **options):
    config = DetectorConfig(detector, **options)
    return DetectorExtractor(config).extract(LoadedImage(pixels, offset)).local


def _direct(algorithm, pixels):
    """OpenCV's own features, by falling response."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    points, descriptors = algorithm.detectAndCompute(grey, None)
    rows = sorted(range(len(points)), key=lambda r: -points[r].response)
    return [points[row] for row in rows], descriptors[rows]


def _in_one_order(numbers):
    return numbers[np.lexsort(np.round(numbers.T, 3))]


@pytest.mark.parametrize("root", [False, True])
def test_sift_is_opencvs(root):
    pixels = picture(200, 240)
    found = _extract(pixels, "sift", root_sift=root)
    points, descriptors = _direct(
        cv2.SIFT_create(nfeatures=1000, enable_precise_upscale=True), pixels
    )
    assert len(found) == len(points) > 100
    np.testing.assert_allclose(
        found.attention, [point.response for point in points]
    )
    if root:
        descriptors = np.sqrt(descriptors / np.abs(descriptors).sum(1)[:, None])
    else:
        descriptors = descriptors / np.linalg.norm(descriptors, axis=1)[:, None]
    expected = np.column_stack(
        [
            [point.pt[::-1] for point in points],
            [point.size / 3.2 for point in points],
            np.radians([point.angle for point in points]),
            descriptors,
        ]
    )
    actual = np.column_stack(
        [found.locations, found.scales, found.orientations, found.descriptors]
    )
    np.testing.assert_allclose(
        _in_one_order(actual), _in_one_order(expected), atol=1e-4
    )
    few = _extract(pixels, "sift", root_sift=root, max_features=40)
    np.testing.assert_allclose(few.attention, found.attention[:40])
    upright = _extract(pixels, "sift", upright=True)
    assert not upright.orientations.any()
    assert len(np.unique(upright.locations, axis=0)) == len(upright)


@pytest.mark.parametrize(("size", "sigma"), [(1, 5.0), (2, 12.0)])
def test_a_blob_lies_at_its_centre(size, sigma):
    centre = np.array([171.25, 220.5])
    grid = np.stack(np.mgrid[:360, :420], axis=-1)
    square = ((grid - centre) ** 2).sum(axis=-1)
    blob = 40 + 200 * np.exp(-square / 2 / sigma**2)
    pixels = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    found = _extract(pixels, "sift", (30, 40), max_image_size=420 // size)
    # The strongest; a second scale of it would be as large as the image.
    np.testing.assert_allclose(
        found.locations[0], centre + np.array([30, 40]), atol=0.12 * size
    )
    # Lowe's detector answers to a blob of standard deviation s at about s.
    assert 0.8 < found.scales[0] * 1.6 / sigma < 1.1


def test_orb_keeps_opencvs_bits_in_binary_codes():
    pixels = picture(200, 240)
    found = _extract(pixels, "orb")
    points, codes = _direct(cv2.ORB_create(1000), pixels)
    assert len(found) == len(points) > 100 and found.is_binary
    stored = EncodedFeatures.encode(found, "binary").codes
    assert stored.shape == (len(found), 32)
    assert sorted(map(bytes, stored)) == sorted(map(bytes, codes))
    np.testing.assert_allclose(
        found.scales * 31, [point.size for point in points], rtol=1e-5
    )


def test_orb_of_a_turned_image_lies_at_the_turned_places():
    pixels = np.ascontiguousarray(skimage.data.astronaut()[:480, :500])
    first = _extract(pixels, "orb")
    second = _extract(np.ascontiguousarray(pixels[::-1, ::-1]), "orb")
    match = match_local_features(
        first, second, MatchingConfig(binary_distance=0.5, mutual=True)
    )
    one, two = match.putative.T
    sums = first.locations[one] + second.locations[two]
    levels = np.round(np.log(first.scales[one]) / np.log(1.2)).astype(int)
    for level in range(8):
        # Centres of opposite pixels add up to the last pixel's.
        middle = np.median(sums[levels == level], axis=0)
        np.testing.assert_allclose(middle, (479, 499), atol=0.02)


@pytest.mark.parametrize("detector", ["sift", "orb"])
@pytest.mark.parametrize("max_image_size", [-1, 300])
def test_features_move_as_the_image_does(detector, max_image_size):
    pixels = np.ascontiguousarray(skimage.data.astronaut()[:400, :480])
    # Of (y, x, 1): 20 degrees, 0.9, shear, shift.
    angle = np.deg2rad(20)
    turn = 0.9 * np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    )
    motion = np.column_stack([turn @ [[1, 0.1], [0, 1]], [100, 20]])
    # OpenCV's is of (x, y, 1).
    swapped = motion[::-1, [1, 0, 2]]
    warped = cv2.warpAffine(pixels, swapped, (480, 400), flags=cv2.INTER_AREA)
    index, query = (
        _extract(image, detector, max_image_size=max_image_size, threshold=t)
        for image in (pixels, warped)
        for t in [0.02 if detector == "sift" else 10]
    )
    match = match_local_features(
        query,
        index,
        MatchingConfig(
            descriptor_distance=None,
            binary_distance=None,
            ratio_test=0.9,
            residual_threshold=3.0,
        ),
    )
    assert match.num_inliers > 60
    corners = [[0, 0, 1], [399, 0, 1], [0, 479, 1], [399, 479, 1]]
    difference = (match.model - motion) @ np.transpose(corners)
    assert np.abs(difference).max() < 5
    # Together they lie where the motion says, not beside it.
    rows = match.putative[match.inliers]
    moved = np.column_stack(
        [index.locations[rows[:, 1]], np.ones(len(rows))]
    ) @ (motion.T)
    offset = np.median(query.locations[rows[:, 0]] - moved, axis=0)
    assert np.abs(offset).max() < 0.35


def test_nothing_to_see():
    flat = np.full((60, 80, 3), 99, np.uint8)
    for detector, depth in (("sift", 128), ("orb", 256)):
        assert _extract(flat, detector).descriptors.shape == (0, depth)
        assert _extract(flat[:9], detector).descriptors.shape == (0, 0)
    for bad in (
        {"detector": "surf"},
        {"detector": "sift", "max_features": 0},
        {"detector": "orb", "upright": True},
        {"detector": "orb", "threshold": 0.0},
        {"detector": "orb", "max_image_size": 0},
    ):
        with pytest.raises(InputError, match=r"but is|is for sift"):
            DetectorConfig(**bad)


def _run(images, *arguments):
    return run_tool(
        "tools/extract_local_features.py", f"--images_dir={images}", *arguments
    )


def test_tool_extracts_resumes_and_refuses_to_mix(tmp_path):
    images = tmp_path / "images"
    save_image(images / "b.png", picture())
    save_image(images / "sub" / "a.png", picture(99, 77))
    (images / "cut.png").write_bytes(b"no image")
    folder = tmp_path / "features"
    output = f"--output_features_dir={folder}"
    sift = ["--detector=sift", "--max_features=50"]
    done = _run(images, *sift, output)
    assert done.returncode == 0, done.stderr
    assert "2 images extracted" in done.stdout and "1 skip" in done.stdout
    assert (folder / SKIPPED_FILE).read_text().startswith("name,reason\ncut,")
    expected = _extract(picture(), "sift", max_features=50)
    first = read_local_features(folder / "b.delg_local")
    np.testing.assert_array_equal(first.descriptors, expected.descriptors)
    np.testing.assert_array_equal(first.locations, expected.locations)
    (folder / "b.delg_local").unlink()
    done = _run(images, *sift, output)
    assert "1 images extracted" in done.stdout and "1 were" in done.stdout
    assert json.loads((folder / "detector.json").read_text())["root_sift"]
    for other in (DetectorConfig("sift"), DetectorConfig("orb")):
        with pytest.raises(InputError, match="Choose another"):
            detector_sink(other, folder)
    (folder / "detector.json").unlink()
    with pytest.raises(InputError, match="other features already"):
        detector_sink(DetectorConfig("sift", 50), folder)


def test_bits_stay_bits_in_a_store(tmp_path):
    save_image(tmp_path / "a.png", picture())
    config, store = DetectorConfig("orb"), tmp_path / "orb.arrows"
    with detector_sink(config, None, store) as sink:
        make = functools.partial(DetectorExtractor, config)
        run_extraction(make, images_in_folder(tmp_path), sink)
    source = open_source(store)
    assert source.formats([]) == ("binary", None)
    np.testing.assert_array_equal(
        source.read_local("a").descriptors,
        _extract(picture(), "orb").descriptors,
    )
    with pytest.raises(InputError, match="model and configuration"):
        detector_sink(DetectorConfig("orb", 500), None, store)


@pytest.mark.slow
def test_processes_give_the_same_files(tmp_path):
    images = tmp_path / "images"
    for number in range(6):
        save_image(images / f"{number}.png", picture(top=number))
    contents = []
    for workers in (1, 2):
        folder = tmp_path / f"{workers}"
        done = _run(
            images,
            "--detector=sift",
            f"--output_features_dir={folder}",
            f"--num_workers={workers}",
            "--images_per_shard=2",
        )
        assert done.returncode == 0, done.stderr
        contents.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert contents[0] == contents[1] and len(contents[0]) == 7
