"""Extraction from files on disk to feature files, three ways.

Taking turns, on photographs of 1,024 x 768 pixels, 7 local and 3 global
scales, at most 1,000 local features:

* official: TensorFlow in float32, an image at a time, every level through the
  whole network, as the official exporter does;
* default: ours as installed;
* best: ours in int8, calibrated on other parts of the photographs.

Beside the times: how close the faster ways' features are to float32, what the
files and everything around the network cost, and which share of the machine's
measured matrix-product peak the network reaches.

See README.md here for the command and what it gave.
"""

import json
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tf_keras as keras
from absl import flags
from PIL import Image

from delg_tf.common import cli
from delg_tf.data.synthetic.photographs import load_photographs
from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.export.metadata import load_metadata
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.fidelity import compare
from delg_tf.extraction.image_list import images_in_folder
from delg_tf.extraction.images import load_image
from delg_tf.extraction.quantise import quantise_export
from delg_tf.extraction.run import extract_images
from delg_tf.latency.flops import peak_flops, pyramid_flops
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.protos import delf_config_pb2
from delg_tf.training.trained_model import (
    AttentionStatistics,
    ModelRecord,
    save_trained_model,
)

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "model_path", None, "Export to use; default: R50 with random weights."
)
flags.DEFINE_integer("images", 2, "Images of a round.")
flags.DEFINE_integer("rounds", 5, "Times that each way is timed.")
flags.DEFINE_integer("calibration_images", 140, "Of the int8 model.")
flags.DEFINE_bool("json", False, "Print the ratios as JSON in the last line.")

_SCALES = (0.25, 0.35355338, 0.5, 0.70710677, 1.0, 1.4142135, 2.0)
_GLOBAL = (3, 4, 5)
_SIZE = (1024, 768)


class _Official(Extractor):
    """Every level through the whole network."""

    def _inputs(self) -> dict[str, np.ndarray]:
        every = np.arange(len(_SCALES), dtype=np.int32)
        return super()._inputs() | {"input_global_scales_ind": every}

    def _features(self, outputs: dict, image: object) -> object:
        vectors = outputs["global_descriptors"][list(_GLOBAL)]
        return super()._features(
            outputs | {"global_descriptors": vectors}, image
        )


def _config(model: pathlib.Path) -> delf_config_pb2.DelfConfig:
    config = delf_config_pb2.DelfConfig(
        model_path=str(model),
        image_scales=_SCALES,
        max_image_size=1024,
        use_local_features=True,
        use_global_features=True,
        is_tf2_exported=True,
    )
    local, whole = config.delf_local_config, config.delf_global_config
    local.use_pca = whole.use_pca = False
    local.max_feature_num = 1000
    local.score_threshold = 0.0
    whole.image_scales_ind.extend(_GLOBAL)
    return config


def _random_export(folder: pathlib.Path) -> pathlib.Path:
    keras.utils.set_random_seed(0)
    model = Delg(DelgConfig(backbone="resnet50", num_classes=10))
    model.build_variables()
    record = ModelRecord(model.config, AttentionStatistics(0.0, 0.0), {})
    save_trained_model(folder / "run", model, record)
    export_model(
        folder / "run", folder / "model", ExportOptions(), checked=False
    )
    return folder / "model"


def _photographs(folder: pathlib.Path, number: int, seed: int) -> None:
    """Saves random parts of the photographs, enlarged, as JPEGs."""
    random = np.random.default_rng(seed)
    sources = [
        photograph
        for group in load_photographs(None).values()
        for photograph in group
    ]
    folder.mkdir(parents=True)
    for place in range(number):
        source = Image.fromarray(sources[place % len(sources)].pixels)
        share = random.uniform(0.6, 1)
        width, height = (int(share * side) for side in source.size)
        x = random.integers(0, source.width - width + 1)
        y = random.integers(0, source.height - height + 1)
        part = source.crop((x, y, x + width, y + height))
        part.convert("RGB").resize(_SIZE, Image.Resampling.BICUBIC).save(
            folder / f"{place:04d}.jpg", quality=90
        )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _flops(model: pathlib.Path, every_level: bool) -> int:
    network = Delg(DelgConfig.from_dict(load_metadata(model).model))
    network.build_variables()
    chosen = range(len(_SCALES)) if every_level else _GLOBAL
    return pyramid_flops(network, _SIZE[::-1], _SCALES, chosen)


def main() -> None:
    """Times everything in turns, prints medians, ratios and fidelity."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if FLAGS.model_path:
            model = folder / "model"
            shutil.copytree(FLAGS.model_path, model)
        else:
            model = _random_export(folder)
        _photographs(folder / "images", FLAGS.images, 0)
        _photographs(folder / "others", FLAGS.calibration_images, 1)
        config = _config(model)
        quantise_export(
            config,
            images_in_folder(folder / "others"),
            FLAGS.calibration_images,
            1,
            overwrite=True,
        )
        ways = {
            "official": _Official(config, "tensorflow", "float32"),
            "default": Extractor(config),
            "best": Extractor(config, "openvino", "int8"),
        }
        _measure(folder, config, ways)


def _measure(
    folder: pathlib.Path,
    config: delf_config_pb2.DelfConfig,
    ways: dict[str, Extractor],
) -> None:
    items = images_in_folder(folder / "images")

    def whole(name: str) -> None:
        output = folder / "features" / name
        shutil.rmtree(output, ignore_errors=True)
        extract_images(config, items, output, lambda _: ways[name])

    images = [ways["default"].prepare(load_image(item.path)) for item in items]

    def network_alone() -> None:
        for image in images:
            ways["default"]._model.run_batch(
                [image.pixels], ways["default"]._inputs()
            )

    calls = {name: lambda name=name: whole(name) for name in ways}
    calls["network alone"] = network_alone
    for call in calls.values():  # Compiles, and warms up.
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(FLAGS.rounds):
        for name, call in calls.items():
            times[name].append(_seconds(call) / len(items))
    exact = Extractor(config, "tensorflow", "float32")
    fidelity = {
        name: compare(exact, ways[name], images) for name in ("default", "best")
    }
    _report(config, times, fidelity)


def _report(config: delf_config_pb2.DelfConfig, times: dict, fidelity: dict):
    seconds = {name: float(np.median(values)) for name, values in times.items()}
    model = pathlib.Path(config.model_path)
    peak = peak_flops()
    print(f"float32 matrix product: {peak / 1e9:.0f} GFLOP/s")
    for name, value in seconds.items():
        flops = _flops(model, every_level=name == "official")
        print(
            f"{name:14} {value:6.3f} s an image ({min(times[name]):.3f} to "
            f"{max(times[name]):.3f}), {flops / 1e9:.0f} GFLOP, "
            f"{flops / value / peak:.2f} of that peak"
        )
    for name, value in fidelity.items():
        print(
            f"{name}: cosine of global descriptors {value.global_cosine:.5f}, "
            f"of local ones {value.local_cosine:.5f}, {value.local_overlap:.3f}"
            " of the selected features the same"
        )
    ratios = {
        "speedup_default": seconds["official"] / seconds["default"],
        "speedup_best": seconds["official"] / seconds["best"],
        "pipeline_overhead": seconds["default"] / seconds["network alone"] - 1,
        "global_cosine": fidelity["best"].global_cosine,
        "local_cosine": fidelity["best"].local_cosine,
        "local_overlap": fidelity["best"].local_overlap,
    }
    print(", ".join(f"{name} {value:.3f}" for name, value in ratios.items()))
    if FLAGS.json:
        print(json.dumps(ratios))


if __name__ == "__main__":
    cli.run(main)
