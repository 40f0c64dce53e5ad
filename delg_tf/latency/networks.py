"""Networks of the paper's sizes, with random weights."""

import pathlib
from collections.abc import Sequence

import tf_keras as keras

from delg_tf.export.exporter import ExportOptions, export_model
from delg_tf.export.metadata import KINDS
from delg_tf.models.config import DelgConfig
from delg_tf.models.delg import Delg
from delg_tf.training.trained_model import (
    AttentionStatistics,
    ModelRecord,
    save_trained_model,
)


def random_network(backbone: str, seed: int = 0) -> Delg:
    """Makes a network; the time that it takes does not depend on weights.

    Args:
        backbone: a key of `models.resnet.ARCHITECTURES`.
        seed: of the weights.
    """
    keras.utils.set_random_seed(seed)
    model = Delg(DelgConfig(backbone=backbone, num_classes=2))
    model.build_variables()
    return model


def export_network(
    model: Delg, folder: pathlib.Path, kinds: Sequence[str] = KINDS
) -> dict[str, pathlib.Path]:
    """Exports a network.

    Args:
        model: the network.
        folder: of the exports, one a kind; they are replaced.
        kinds: of `export.metadata.KINDS`.

    Returns:
        The exports by kind.
    """
    record = ModelRecord(model.config, AttentionStatistics(0.0, 0.0), {})
    save_trained_model(folder / "run", model, record)
    paths = {kind: folder / kind for kind in kinds}
    for kind, path in paths.items():
        export_model(
            folder / "run",
            path,
            ExportOptions(kind),
            overwrite=True,
            checked=False,
        )
    return paths
