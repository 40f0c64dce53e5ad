"""Exports a trained network as a SavedModel with the official signatures.

A further signature, serve_batch, takes a batch of images alone, for TensorFlow
Serving. --formats adds files for other programs. At the end each of them is
run on photographs and compared with the Keras network; what differs is not
kept.
"""

from absl import flags

from delg_tf.common import cli
from delg_tf.export import format_flags

FLAGS = flags.FLAGS

flags.DEFINE_string("logdir", None, "Folder of the finished training.")
flags.DEFINE_string("export_path", None, "Folder of the SavedModel.")
flags.DEFINE_bool("overwrite", False, "Replace an existing --export_path.")
flags.DEFINE_enum(
    "kind",
    "local_and_global",
    ["local", "global", "local_and_global"],
    "What the model computes.",
)
flags.DEFINE_bool(
    "block3_strides",
    None,
    "Local features every 32 pixels (true) or every 16 (false); default: as "
    "trained. The weights are the same.",
)
flags.DEFINE_float(
    "iou",
    1.0,
    "Of two local features whose receptive fields overlap more, only the "
    "better one is kept; 1 keeps all.",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_enum(
    "keypoints",
    "exact",
    ["exact", "official"],
    "Locations at the true centres of the receptive fields, or where the "
    "official code puts them.",
)
flags.DEFINE_list(
    "input_scales_list",
    [],
    "With --kind=global: fixed scales; the model then takes an image alone "
    "and returns one pooled descriptor.",
)
flags.DEFINE_enum(
    "multi_scale_pool_type",
    "average",
    ["average", "sum"],
    "How those scales' descriptors are pooled.",
)
flags.DEFINE_bool(
    "normalize_global_descriptor", True, "L2-normalise the pooled descriptor."
)
flags.DEFINE_list(
    "image_scales",
    None,
    "Scales of the pyramid of serve_batch and of LiteRT; default: "
    "--input_scales_list, or the paper's seven.",
)
flags.DEFINE_list(
    "global_scales_ind",
    None,
    "Places, from 0, of the scales that their global descriptor is pooled "
    "over; default: of the paper's scales 3,4,5, of others all.",
)
flags.DEFINE_integer(
    "max_feature_num", 1000, "Their local features of an image, at most."
)
flags.DEFINE_float(
    "score_threshold",
    None,
    "Least attention score of their local features; default: the median in "
    "training.",
)
format_flags.define([])
flags.mark_flags_as_required(["logdir", "export_path"])


def _numbers(flag: str, kind: type) -> tuple | None:
    """A flag's list of numbers."""
    from delg_tf.common.errors import InputError

    if FLAGS[flag].value is None:
        return None
    try:
        return tuple(kind(value) for value in FLAGS[flag].value)
    except ValueError as error:
        raise InputError(f"--{flag}: {error}") from error


def main() -> None:
    """Exports by the flags."""
    from delg_tf.export.exporter import ExportOptions, export_model
    from delg_tf.export.formats import FormatOptions

    strides = {None: None, True: 32, False: 16}
    metadata, agreements = export_model(
        FLAGS.logdir,
        FLAGS.export_path,
        ExportOptions(
            kind=FLAGS.kind,
            local_stride=strides[FLAGS.block3_strides],
            iou_threshold=FLAGS.iou,
            keypoints=FLAGS.keypoints,
            pooled_scales=_numbers("input_scales_list", float),
            pooling=FLAGS.multi_scale_pool_type,
            normalise=FLAGS.normalize_global_descriptor,
            scales=_numbers("image_scales", float),
            global_scales=_numbers("global_scales_ind", int),
            max_features=FLAGS.max_feature_num,
            score_threshold=FLAGS.score_threshold,
        ),
        overwrite=FLAGS.overwrite,
        formats=FormatOptions(**format_flags.values()),
    )
    for agreement in agreements:
        print(agreement)
    print(
        f"{FLAGS.export_path}: {metadata.kind}, a local feature every "
        f"{metadata.local_stride} pixels with a receptive field of "
        f"{metadata.receptive_field}, attention median "
        f"{metadata.attention_median:.4g}, 75th percentile "
        f"{metadata.attention_percentile_75:.4g}"
    )


if __name__ == "__main__":
    cli.run(main)
