import os
import pathlib

import cv2
import numpy as np
import pytest
from extraction_inputs import (
    extraction_config,
    picture,
    save_config,
    save_image,
    write_data_set,
    write_list,
)
from PIL import Image

from delg_tf.common.errors import InputError
from delg_tf.extraction.config import load_config
from delg_tf.extraction.image_list import (
    images_in_folder,
    images_in_list,
    images_of_dataset,
)
from delg_tf.extraction.images import (
    load_image,
    resize_image,
)
from delg_tf.protos import delf_config_pb2


def test_every_kind_of_image_becomes_upright_rgb(tmp_path):
    pixels = picture(30, 50)
    grey = pixels[..., 0]
    np.testing.assert_array_equal(
        load_image(save_image(tmp_path / "grey.png", grey)).pixels,
        np.repeat(grey[..., None], 3, axis=2),
    )
    opaque = np.dstack([pixels, np.full(grey.shape, 255, np.uint8)])
    np.testing.assert_array_equal(
        load_image(save_image(tmp_path / "rgba.png", opaque)).pixels, pixels
    )
    palette = Image.fromarray(pixels).quantize(16)
    palette.save(tmp_path / "palette.png")
    table = np.array(palette.getpalette()[: 3 * 16], np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(
        load_image(tmp_path / "palette.png").pixels, table[np.array(palette)]
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # To be shown turned clockwise by a quarter.
    np.testing.assert_array_equal(
        load_image(save_image(tmp_path / "r.png", pixels, exif=exif)).pixels,
        np.rot90(pixels, -1),
    )


def test_boxes_are_cut_out_of_the_upright_image(tmp_path):
    path = save_image(tmp_path / "a.png", picture())
    # Rounded: 20.4 -> 20, 9.6 -> 10; the second corner is not part of it.
    part = load_image(path, (20.4, 9.6, 100.0, 58.0))
    np.testing.assert_array_equal(part.pixels, picture()[10:58, 20:100])
    assert part.offset == (10, 20)
    assert part.resize_factor == 80 / 160
    # What reaches outside is cut off.
    part = load_image(path, (-5, 100, 500, 500))
    assert part.pixels.shape == (20, 160, 3)
    assert part.offset == (100, 0)
    with pytest.raises(InputError, match=r"a\.png"):
        load_image(path, (300, 0, 400, 50))


@pytest.mark.parametrize(
    ("size", "limits", "factor", "expected"),
    [
        ((100, 200), {}, 1.0, (100, 200)),
        ((100, 200), {"max_image_size": 200}, 1.0, (100, 200)),
        ((100, 200), {"max_image_size": 150}, 1.0, (75, 150)),
        # Halves go to the even neighbour.
        ((5, 10), {"max_image_size": 5}, 1.0, (2, 5)),
        ((7, 10), {"max_image_size": 5}, 1.0, (4, 5)),
        ((30, 40), {"min_image_size": 60}, 1.0, (45, 60)),
        ((30, 40), {"min_image_size": 20, "max_image_size": 50}, 1.0, (30, 40)),
        ((30, 40), {"use_square_images": True}, 1.0, (40, 40)),
        ((40, 40), {"use_square_images": True}, 1.0, (40, 40)),
        (
            (30, 40),
            {"use_square_images": True, "max_image_size": 20},
            1.0,
            (20, 20),
        ),
        # Half of the whole image: half of the limits.
        ((50, 100), {"max_image_size": 150}, 0.5, (38, 75)),
        ((50, 100), {"min_image_size": 400}, 0.5, (100, 200)),
        ((50, 100), {"max_image_size": 0}, 1.0, (1, 1)),
    ],
)
def test_resize_follows_the_official_rules(size, limits, factor, expected):
    config = delf_config_pb2.DelfConfig(**limits)
    pixels = np.zeros((*size, 3), np.uint8)
    resized, factors = resize_image(pixels, config, factor)
    assert resized.shape == (*expected, 3)
    assert factors == (expected[0] / size[0], expected[1] / size[1])
    if expected == size:
        assert resized is pixels


def test_resize_is_bilinear_with_half_pixel_centres():
    config = delf_config_pb2.DelfConfig(min_image_size=150)
    pixels = picture(40, 60)
    resized, _ = resize_image(pixels, config)
    expected = cv2.resize(pixels, (150, 100), interpolation=cv2.INTER_LINEAR)
    assert np.abs(resized.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("shape", "factor"), [((5, 5), 1.0), ((5, 5, 4), 1.0), ((5, 5, 3), -1.0)]
)
def test_resize_refuses_wrong_arguments(shape, factor):
    with pytest.raises(ValueError, match="Received"):
        resize_image(np.zeros(shape, np.uint8), extraction_config("m"), factor)


@pytest.fixture
def data_set(tmp_path):
    return write_data_set(tmp_path)


def test_images_of_a_data_set(data_set):
    arguments = data_set / "gnd.pkl", data_set / "jpg"
    index = images_of_dataset(*arguments, "index")
    assert [item.name for item in index] == ["i0", "i1"]
    assert [item.box for item in index] == [None, None]
    (query,) = images_of_dataset(*arguments, "query")
    assert (query.name, query.box) == ("q0", (40, 10, 140, 90))
    assert query.path == data_set / "jpg" / "q0.jpg"
    (query,) = images_of_dataset(*arguments, "query", crop_queries=False)
    assert query.box is None


def test_images_of_a_folder_are_told_by_their_ending(tmp_path):
    names = ("a.JPG", "b.gif", "c.avif", "..png", ".png", "d.txt", "e.svg")
    for name in names:
        (tmp_path / name).touch()
    inside = tmp_path / "folder.jpg"
    inside.mkdir()
    (inside / os.fsdecode(b"caf\xe9.webp")).touch()
    (tmp_path / "link.png").symlink_to("nowhere")
    assert [item.name for item in images_in_folder(tmp_path)] == [
        "a",
        "b",
        "c",
        os.fsdecode(b"folder.jpg/caf\xe9"),
        "link",
    ]


def test_images_of_a_list(tmp_path):
    items = images_in_list(
        write_list(
            tmp_path, "x/a.jpg", "", " b.c.png ", "/far/away/d.jpg", "..jpg"
        ),
        tmp_path,
    )
    assert [(item.name, item.path) for item in items] == [
        ("x/a", tmp_path / "x/a.jpg"),
        ("b.c", tmp_path / "b.c.png"),
        ("d", pathlib.Path("/far/away/d.jpg")),
        ("..jpg", tmp_path / "..jpg"),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "empty"),
        (["a.jpg", "a.png"], "same feature files"),
        (["a.jpg", "/far/a.jpg"], "same feature files"),
        (["../a.jpg"], "upwards"),
        (["a.jpg", "."], "line 2"),
        (["/"], "line 1"),
    ],
)
def test_bad_lists(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        images_in_list(write_list(tmp_path, *lines))


def test_lists_in_another_encoding_and_empty_folders(tmp_path):
    (tmp_path / "list.txt").write_bytes("Mül.jpg".encode("latin1"))
    with pytest.raises(InputError, match="UTF-8"):
        images_in_list(tmp_path / "list.txt")
    with pytest.raises(InputError, match="no images"):
        images_in_folder(tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        images_in_folder(tmp_path / "nowhere")


def test_a_configuration_is_read_and_its_model_replaced(tmp_path):
    path = save_config(tmp_path, extraction_config("first"))
    assert load_config(path) == extraction_config("first")
    assert load_config(path, "second") == extraction_config("second")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_path": ""}, "`model_path`"),
        ({"image_scales": []}, "`image_scales` is empty"),
        ({"image_scales": [1.0, 0.0, 2.0]}, "positive"),
        ({"image_scales": [1.0, float("nan"), 2.0]}, "positive"),
        ({"use_local_features": False, "use_global_features": False}, "one of"),
        ({"image_scales_ind": [0, 3]}, "`image_scales_ind`"),
        ({"image_scales_ind": [-1]}, "`image_scales_ind`"),
        ({"max_feature_num": 0}, "`max_feature_num`"),
        ({"min_image_size": 9, "max_image_size": 8}, "`min_image_size`"),
        ({"iou_threshold": 1.5}, "`iou_threshold`"),
        ({"iou_threshold": float("nan")}, "`iou_threshold`"),
    ],
)
def test_bad_configurations(tmp_path, changes, message):
    config = extraction_config("model")
    for name, value in changes.items():
        part = config
        if name == "image_scales_ind":
            part = config.delf_global_config
        if name in ("max_feature_num", "iou_threshold"):
            part = config.delf_local_config
        if isinstance(value, list):
            getattr(part, name)[:] = value
        else:
            setattr(part, name, value)
    with pytest.raises(InputError, match=message) as caught:
        load_config(save_config(tmp_path, config))
    assert "config.pbtxt" in str(caught.value)
