r"""Adds int8 copies to an exported model, for --precision=int8.

  python tools/quantise_model.py --delf_config_path=CONFIG.pbtxt \
    --images_dir=PHOTOS

Activations' ranges are measured on the images, which should be like those to
be extracted; a few hundred will do. Prints how far the features then are from
those in float32, on other images of the folder; and with a ground truth in the
Revisited format, mAP before and after.
"""

from absl import flags

from delg_tf.common import cli
from delg_tf.extraction import flags as extraction_flags

FLAGS = flags.FLAGS

extraction_flags.define_config_flags()
flags.DEFINE_string(
    "images_dir", None, "Folder of images, searched with its subfolders."
)
flags.DEFINE_integer(
    "calibration_images", 280, "Images that ranges are measured on, at most."
)
flags.DEFINE_integer(
    "compared_images", 20, "Images that features are compared on, at most."
)
flags.DEFINE_integer("seed", 0, "Of the choice of images.")
flags.DEFINE_string(
    "dataset_file_path",
    None,
    "Ground truth (.mat or .pkl in the Revisited format) to compare mAP on.",
)
flags.DEFINE_string(
    "dataset_images_dir", None, "Folder of the images of --dataset_file_path."
)
flags.DEFINE_bool("overwrite", False, "Replace earlier copies.")
flags.mark_flags_as_required(["delf_config_path", "images_dir"])


def main() -> None:
    """Quantises by the flags, and prints the fidelity."""
    from delg_tf.common.errors import InputError
    from delg_tf.extraction.config import load_config
    from delg_tf.extraction.image_list import images_in_folder
    from delg_tf.extraction.quantise import quantise_export

    if bool(FLAGS.dataset_file_path) != bool(FLAGS.dataset_images_dir):
        raise InputError(
            "Pass both --dataset_file_path and --dataset_images_dir."
        )
    config = load_config(FLAGS.delf_config_path, FLAGS.model_path)
    fidelity = quantise_export(
        config,
        images_in_folder(FLAGS.images_dir),
        calibration=FLAGS.calibration_images,
        compared=FLAGS.compared_images,
        seed=FLAGS.seed,
        overwrite=FLAGS.overwrite,
    )
    print(
        f"int8 against float32 on {fidelity.images} images: cosine of global "
        f"descriptors {fidelity.global_cosine:.4f}, of local ones "
        f"{fidelity.local_cosine:.4f}; {100 * fidelity.local_overlap:.1f}% of "
        "the selected local features are the same."
    )
    if FLAGS.dataset_file_path:
        from delg_tf.evaluation.extraction_quality import (
            quality_before_and_after_int8,
        )
        from delg_tf.evaluation.table import map_table

        print(
            map_table(
                quality_before_and_after_int8(
                    config, FLAGS.dataset_file_path, FLAGS.dataset_images_dir
                )
            )
        )


if __name__ == "__main__":
    cli.run(main)
