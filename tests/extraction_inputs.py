"""Images, lists and configurations for the tests of extraction."""

import numpy as np
import skimage.data
from google.protobuf import text_format
from PIL import Image
from small_models import save_run, small_model

from delg_tf.data.revisited import (
    RevisitedGroundTruth,
    RevisitedQuery,
    save_ground_truth,
)
from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.features.datum_io import write_datum
from delg_tf.protos import delf_config_pb2

SCALES = (0.5, 1.0, 1.4142135)


def extraction_config(model, **changes):
    config = delf_config_pb2.DelfConfig(
        model_path=str(model),
        image_scales=SCALES,
        use_local_features=True,
        use_global_features=True,
        is_tf2_exported=True,
    )
    config.delf_local_config.use_pca = False
    config.delf_local_config.score_threshold = 0.0
    config.delf_local_config.max_feature_num = 60
    config.delf_global_config.use_pca = False
    config.delf_global_config.image_scales_ind.extend([1, 2])
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def picture(height=120, width=160, top=40, left=170):
    part = skimage.data.astronaut()[top : top + height, left : left + width]
    return np.ascontiguousarray(part)


def save_image(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_list(folder, *lines):
    path = folder / "list.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def save_config(folder, config):
    path = folder / "config.pbtxt"
    path.write_text(text_format.MessageToString(config))
    return path


def export_models(folder, kinds=("local", "local_and_global", "official")):
    """SavedModels of one network, by kind."""
    model = small_model()
    image = (picture()[np.newaxis].astype(np.float32) - 128) / 128
    scores = model(image)["scores"].numpy()
    statistics = [float(x) for x in np.percentile(scores, [50, 75])]
    run = save_run(folder / "run", model, statistics)
    options = {
        "local": ExportOptions(kind="local"),
        "local_and_global": ExportOptions(kind="local_and_global"),
        "official": ExportOptions(
            kind="local_and_global", keypoints="official"
        ),
    }
    for kind in kinds:
        export_model(run, folder / kind, options[kind], checked=False)
    return folder


def write_data_set(folder):
    for name in ("q0", "i0", "i1"):
        save_image(folder / "jpg" / f"{name}.jpg", picture(), quality=95)
    ids = {
        "easy": np.array([0]),
        "hard": np.array([1]),
        "junk": np.array([], np.int64),
    }
    truth = RevisitedGroundTruth(
        ["q0"], ["i0", "i1"], [RevisitedQuery(bbx=(40, 10, 140, 90), **ids)]
    )
    save_ground_truth(truth, folder / "gnd.pkl")
    return folder


def write_pca(folder, depth=4, **changes):
    rng = np.random.default_rng(3)
    arrays = {
        "mean": rng.normal(size=depth),
        "matrix": rng.normal(size=(depth, depth)),
        "variances": rng.uniform(0.5, 2, depth),
    } | changes
    for name, array in arrays.items():
        write_datum(folder / f"{name}.datum", np.asarray(array))
    parameters = delf_config_pb2.DelfPcaParameters(
        mean_path=str(folder / "mean.datum"),
        projection_matrix_path=str(folder / "matrix.datum"),
        pca_dim=3,
        pca_variances_path=str(folder / "variances.datum"),
    )
    return parameters, arrays
