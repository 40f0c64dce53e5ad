"""Every exported file, run as other programs run it, and checked."""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from delg_tf.export.agreement import Agreement
from delg_tf.export.check import Check
from delg_tf.export.frozen import levels_of
from delg_tf.export.serving import SERVE


def check_saved_model(loaded: Any, check: Check) -> list[Agreement]:
    """Compares all signatures of a SavedModel.

    Args:
        loaded: what `tf.saved_model.load` gave.
        check: what is expected.

    Raises:
        InputError: they differ.
    """
    functions = levels_of(loaded)

    def level(name: str, levels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = functions[name](levels=tf.constant(levels))
        return {key: value.numpy() for key, value in outputs.items()}

    def image(pixels: np.ndarray) -> dict[str, np.ndarray]:
        # Twice, so that a batch that is mixed up would show.
        batch = tf.constant(np.stack([255 - pixels, pixels]))
        outputs = loaded.signatures[SERVE](images=batch)
        return {key: value.numpy()[1] for key, value in outputs.items()}

    return [
        check.official(loaded.signatures["serving_default"]),
        check.levels("SavedModel, levels", "float32", list(functions), level),
        check.images("SavedModel, serve_batch", "float32", image),
    ]


def check_onnx(folder: pathlib.Path, check: Check) -> Agreement:
    """Runs the ONNX files of a folder, by ONNX Runtime.

    Raises:
        InputError: they differ.
    """
    import onnxruntime

    sessions = {
        path.stem: onnxruntime.InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )
        for path in sorted(folder.glob("*.onnx"))
    }

    def level(name: str, levels: np.ndarray) -> dict[str, np.ndarray]:
        session = sessions[name]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"levels": levels})))

    return check.levels("ONNX", "float32", list(sessions), level)


def check_litert(path: pathlib.Path, name: str, check: Check) -> Agreement:
    """Runs a LiteRT file.

    Args:
        path: the file.
        name: of the format, "litert_" and the precision.
        check: what is expected.

    Raises:
        InputError: they differ.
    """
    from ai_edge_litert.interpreter import Interpreter

    # Read, as a mapped file could not be replaced on some systems.
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=2)
    runner = interpreter.get_signature_runner()

    def image(pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = runner(images=pixels[np.newaxis])
        return {key: value[0] for key, value in outputs.items()}

    return check.images(name, name.removeprefix("litert_"), image)
