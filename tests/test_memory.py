"""The limit of memory for extraction."""

import functools
import types

import numpy as np
import psutil
import pytest
from extraction_inputs import (
    export_models,
    extraction_config,
    picture,
    save_image,
)

from delg_tf.common.errors import InputError
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.image_list import images_in_folder
from delg_tf.extraction.memory import plan_memory
from delg_tf.extraction.run import extract_images
from delg_tf.features.feature_io import read_local_features

MIB = 2**20


@pytest.mark.parametrize("free", [256, 300, 1000, 5000, 50000])
@pytest.mark.parametrize("batch_size", [1, 8, 64])
@pytest.mark.parametrize("longest", [-1, 1024, 4000])
def test_everything_at_its_largest_stays_below_the_limit(
    free, batch_size, longest
):
    plan = plan_memory(
        (700 + free) * MIB, 280, batch_size, 2**27, longest, used=700 * MIB
    )
    # By a pixel: 25 bytes to decode, 3 of an image as the network gets it;
    # 12 of the image and 12 of the level in float32 beside the network's 280.
    decoding = plan.readers * plan.max_image_pixels * 25
    pixels = plan.max_image_pixels
    if longest > 0:
        pixels = min(pixels, longest**2)
    held = (plan.ahead + 1 + plan.waiting + 1 + plan.batch_size) * pixels * 3
    level = int(plan.level_pixels // 3)
    network = plan.images_together(level) * level * (280 + 24)
    assert decoding + held + network <= free * MIB
    assert 1 <= plan.images_together(level) <= min(3, batch_size)
    assert plan.images_together(1) == plan.batch_size <= batch_size
    # What is allowed is used: a photograph of 3 megapixels at least.
    assert plan.max_image_pixels > 3e6


def test_without_a_limit_the_batch_decides():
    plan = plan_memory(None, 280, 5, 10**6)
    assert plan.images_together(10**12) == 5
    plan.check(10**12)


def test_images_that_do_not_fit_are_left_out_and_reported(tmp_path):
    folder = export_models(tmp_path, kinds=("local_and_global",))
    config = extraction_config(folder / "local_and_global")
    for place in range(5):
        save_image(tmp_path / "in" / f"{place}.png", picture(top=9 * place))
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    save_image(tmp_path / "in" / "large.png", noise)
    items = images_in_folder(tmp_path / "in")
    extractor = Extractor(config, "tensorflow", "float32")
    extract = functools.partial(
        extract_images,
        config,
        items,
        make_extractor=lambda _: extractor,
        batch_size=4,
    )
    assert extract(tmp_path / "free").skipped == []
    limit = psutil.Process().memory_info().rss + 450 * MIB
    summary = extract(tmp_path / "limited", memory_limit=limit)
    [(name, reason)] = summary.skipped
    # 1500 x 1500 at the scale 1.4142135.
    assert name == "large" and "4500000 pixels" in reason
    assert "--memory_limit_mib" in reason and summary.extracted == 5
    for item in items[:5]:
        file = f"{item.name}.delg_local"
        free, limited = (
            read_local_features(tmp_path / output / file)
            for output in ("free", "limited")
        )
        np.testing.assert_allclose(
            limited.descriptors, free.descriptors, atol=1e-5
        )
    with pytest.raises(InputError, match=r"is too little: .* Allow at least"):
        extract(tmp_path / "none", memory_limit=100 * MIB)


def test_memory_is_divided_once_for_all_shards(tmp_path, monkeypatch):
    """Later, what the network keeps would count as taken."""
    folder = export_models(tmp_path, kinds=("local_and_global",))
    config = extraction_config(folder / "local_and_global")
    for place in range(3):
        save_image(tmp_path / "in" / f"{place}.png", picture(top=9 * place))
    taken = iter([500 * MIB])

    class Growing:
        def memory_info(self):
            rss = next(taken, 10**12)
            return types.SimpleNamespace(rss=rss)

    monkeypatch.setattr("delg_tf.extraction.memory.psutil.Process", Growing)
    summary = extract_images(
        config,
        images_in_folder(tmp_path / "in"),
        tmp_path / "out",
        memory_limit=2000 * MIB,
        images_per_shard=1,
    )
    assert (summary.extracted, summary.skipped) == (3, [])
    assert next(taken, None) is None
