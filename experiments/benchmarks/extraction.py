"""Extraction from files on disk to feature files, three ways.

Taking turns, on photographs of 1,024 x 768 pixels, 7 local and 3 global
scales, at most 1,000 local features:

* official: TensorFlow in float32, an image at a time, every level through the
  whole network, as the official exporter does;
* default: ours as installed;
* best: ours in int8, calibrated on other parts of the photographs.

Beside the times: how close the faster ways' features are to float32, what the
files and everything around the network cost, and which share of the machine's
measured matrix-product peak the network reaches. The same of the trained
network of `make demo` (--demo), and its mAP before and after int8.
The network of the timings has random weights: most of its attention scores
are 0, so that which features it selects means nothing.

See README.md here for the command and what it gave.
"""

import json
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import flags
from PIL import Image

from delg_tf.common import cli
from delg_tf.data.synthetic.photographs import load_photographs
from delg_tf.demo.pipeline import DemoOptions, run_demo
from delg_tf.evaluation.extraction_quality import (
    largest_loss,
    quality_before_and_after_int8,
)
from delg_tf.evaluation.table import map_table
from delg_tf.export.metadata import load_metadata
from delg_tf.extraction.config import load_config
from delg_tf.extraction.extractor import Extractor
from delg_tf.extraction.fidelity import Fidelity, compare
from delg_tf.extraction.image_list import images_in_folder
from delg_tf.extraction.images import load_image
from delg_tf.extraction.quantise import quantise_export
from delg_tf.extraction.run import extract_images
from delg_tf.latency.cases import JOINT_7
from delg_tf.latency.flops import peak_flops, pyramid_flops
from delg_tf.latency.networks import export_network, random_network
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.protos import delf_config_pb2

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "model_path", None, "Export to use; default: R50 with random weights."
)
flags.DEFINE_integer("images", 2, "Images of a round.")
flags.DEFINE_integer("rounds", 5, "Times that each way is timed.")
flags.DEFINE_integer("calibration_images", 140, "Of the int8 model.")
flags.DEFINE_string(
    "demo",
    "demo",
    "Folder of `make demo`, which is run if it is not there; its trained "
    "network shows the loss of mAP. Empty: that is left out.",
)
flags.DEFINE_bool("json", False, "Print the ratios as JSON in the last line.")

_SIZE = (1024, 768)


class _Official(Extractor):
    """Every level through the whole network."""

    def _inputs(self) -> dict[str, np.ndarray]:
        every = np.arange(len(JOINT_7.scales), dtype=np.int32)
        return super()._inputs() | {"input_global_scales_ind": every}

    def _features(self, outputs: dict, image: object) -> object:
        vectors = outputs["global_descriptors"][list(JOINT_7.global_scales)]
        return super()._features(
            outputs | {"global_descriptors": vectors}, image
        )


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
    chosen = (
        range(len(JOINT_7.scales)) if every_level else JOINT_7.global_scales
    )
    return pyramid_flops(network, _SIZE[::-1], JOINT_7.scales, chosen)


def main() -> None:
    """Times everything in turns, prints medians, ratios and fidelity."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if FLAGS.model_path:
            model = folder / "model"
            shutil.copytree(FLAGS.model_path, model)
        else:
            [model] = export_network(
                random_network("resnet50"), folder, [JOINT_7.kind]
            ).values()
        _photographs(folder / "images", FLAGS.images, 0)
        _photographs(folder / "others", FLAGS.calibration_images, 1)
        config = JOINT_7.config(str(model), _SIZE[0])
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
        ratios = _measure(folder, config, ways)
        if FLAGS.demo:
            ratios |= _trained(pathlib.Path(FLAGS.demo), folder)
    print(", ".join(f"{name} {value:.3f}" for name, value in ratios.items()))
    if FLAGS.json:
        print(json.dumps(ratios))


def _trained(demo: pathlib.Path, folder: pathlib.Path) -> dict[str, float]:
    """What int8 does to the demonstration's trained network."""
    if not (demo / "report.html").is_file():
        run_demo(DemoOptions(output_directory=str(demo)))
    shutil.copytree(demo / "model", folder / "demo_model")
    config = load_config(
        "experiments/demo/extract.pbtxt", str(folder / "demo_model")
    )
    # Of other landmarks than those that are searched.
    views = images_in_folder(demo / "data" / "train")
    fidelity = quantise_export(config, views, overwrite=True)
    data = demo / "data" / "held_out"
    quality = quality_before_and_after_int8(
        config, data / "gnd.pkl", data / "jpg"
    )
    print(map_table(quality))
    _print_fidelity("trained, int8", fidelity)
    return {
        "trained_global_cosine": fidelity.global_cosine,
        "trained_local_cosine": fidelity.local_cosine,
        "local_overlap": fidelity.local_overlap,
        "map_loss": largest_loss(quality["float32"], quality["int8"]),
    }


def _measure(
    folder: pathlib.Path,
    config: delf_config_pb2.DelfConfig,
    ways: dict[str, Extractor],
) -> dict[str, float]:
    """Returns the ratios."""
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
    return _report(config, times, fidelity)


def _report(
    config: delf_config_pb2.DelfConfig, times: dict, fidelity: dict
) -> dict[str, float]:
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
        _print_fidelity(name, value)
    return {
        "speedup_default": seconds["official"] / seconds["default"],
        "speedup_best": seconds["official"] / seconds["best"],
        "pipeline_overhead": seconds["default"] / seconds["network alone"] - 1,
        "global_cosine": fidelity["best"].global_cosine,
        "local_cosine": fidelity["best"].local_cosine,
        "local_overlap": fidelity["best"].local_overlap,
    }


def _print_fidelity(name: str, value: Fidelity) -> None:
    print(
        f"{name}: cosine of global descriptors {value.global_cosine:.5f}, of "
        f"local ones {value.local_cosine:.5f}, {value.local_overlap:.3f} of "
        "the selected features the same"
    )


if __name__ == "__main__":
    cli.run(main)
