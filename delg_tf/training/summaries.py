"""TensorBoard summaries."""

import os

import numpy as np
import tensorflow as tf

from delg_tf.models.delg import Delg

# In the run's directory.
FOLDER = "train_logs"
_MAX_PICTURES = 4
_BLOCKS = ("block1", "block2", "block3", "block4")
# Names of the official trainer's scalars.
_TRAIN_NAMES = {
    "global": "loss/desc/crossentropy",
    "attention": "loss/attn/crossentropy",
    "reconstruction": "loss/recon/mse",
    "contrastive": "loss/contrastive",
    "total": "loss/total",
    "global_accuracy": "train_accuracy/desc",
    "local_accuracy": "train_accuracy/attn",
    "gradient_norm": "gradient_norm",
    "learning_rate": "learning_rate",
    "scale": "desc/scale_factor",
    "steps_per_second": "global_steps_per_sec",
    "images_per_second": "images_per_sec",
    "skipped": "skipped",
    "loss_scale": "loss_scale",
}


class Summaries:
    """Writes scalars and pictures of a run to `<logdir>/train_logs`.

    Args:
        logdir: the run's directory.
        model: the network.
        is_chief: others write nothing.
    """

    def __init__(self, logdir: str, model: Delg, is_chief: bool = True):
        self._model = model
        self._writer = (
            tf.summary.create_file_writer(os.path.join(logdir, FOLDER))
            if is_chief
            else tf.summary.create_noop_writer()
        )

    def training(self, step: int, metrics: dict[str, float]) -> None:
        """Writes the scalars of a training step."""
        with self._writer.as_default(step):
            for key, value in metrics.items():
                tf.summary.scalar(_TRAIN_NAMES.get(key, key), value)
        self._writer.flush()

    def validation(self, step: int, metrics: dict[str, float]) -> None:
        """Writes the scalars of a validation."""
        names = {
            "global_accuracy": "desc",
            "local_accuracy": "attn",
            "retrieval_map": "retrieval_map",
        }
        with self._writer.as_default(step):
            for key, value in metrics.items():
                name = names.get(key, f"loss/{key}")
                tf.summary.scalar(f"validation/{name}", value)
        self._writer.flush()

    def pictures(self, step: int, images: tf.Tensor) -> dict[str, float]:
        """Writes what the network makes of some images.

        Args:
            step: the training step.
            images: float `[b, size, size, 3]`, normalised.

        Returns:
            `sparsity/<block>`: share of zeros; `attention/...`: minimum,
            maximum, mean and percentiles of the scores; `class_weights/...`:
            lengths of the global classifier's class weights.
        """
        sparsities, scores = self._inspect(images)
        values = {
            f"sparsity/{block}": float(value)
            for block, value in sparsities.items()
        }
        scores = scores.numpy()
        centres = self._model.global_head.weights[0]
        class_norms = tf.norm(centres.read_value(), axis=1).numpy()
        values |= {
            "class_weights/min": float(class_norms.min()),
            "class_weights/max": float(class_norms.max()),
            "class_weights/mean": float(class_norms.mean()),
        }
        values |= {
            "attention/min": float(scores.min()),
            "attention/max": float(scores.max()),
            "attention/mean": float(scores.mean()),
        }
        for percent in (25, 50, 75):
            key = f"attention/percent_{percent}"
            values[key] = float(np.percentile(scores, percent))
        with self._writer.as_default(step):
            for key, value in values.items():
                tf.summary.scalar(key, value)
            tf.summary.histogram("class_weights", class_norms)
            tf.summary.scalar("image_range/min", tf.reduce_min(images))
            tf.summary.scalar("image_range/max", tf.reduce_max(images))
            tf.summary.image(
                "batch_images", (images + 1) / 2, max_outputs=_MAX_PICTURES
            )
            tf.summary.image(
                "batch_attention",
                scores / max(scores.max(), 1e-12),
                max_outputs=_MAX_PICTURES,
            )
        self._writer.flush()
        return values

    @tf.function(reduce_retracing=True)
    def _inspect(
        self, images: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        outputs = self._model(images, training=False)
        zeros = {
            block: tf.reduce_mean(
                tf.cast(tf.equal(outputs[block], 0), tf.float32)
            )
            for block in _BLOCKS
        }
        return zeros, outputs["scores"]

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()
