"""Converts pre-trained weights of other programs, to start training from."""

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "input",
    None,
    "Keras-Applications .h5 or .weights.h5; TF-Slim resnet_v1 checkpoint; "
    "torchvision .pth or .safetensors; delf_weights of the official trainer.",
)
flags.DEFINE_enum(
    "format",
    "auto",
    ["auto", "keras", "tf_slim", "torchvision", "official", "delg_tf"],
    "What --input is; auto: by its content.",
)
flags.DEFINE_string(
    "output_dir", None, "Folder to write: weights.npz and weights.json."
)
flags.DEFINE_string(
    "backbone",
    None,
    "The network that the weights must be, e.g. resnet101; default: any.",
)
flags.DEFINE_bool("overwrite", False, "Replace an existing --output_dir.")
flags.mark_flags_as_required(["input", "output_dir"])


def main() -> None:
    """Converts by the flags."""
    from delg_tf.weights.convert import convert

    print(
        convert(
            FLAGS.input,
            FLAGS.output_dir,
            FLAGS.format,
            FLAGS.backbone,
            FLAGS.overwrite,
        )
    )


if __name__ == "__main__":
    cli.run(main)
