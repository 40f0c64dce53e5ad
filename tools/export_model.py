"""Exports a trained network as a SavedModel with the official signatures."""

from absl import flags

from delg_tf.common import cli

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
flags.mark_flags_as_required(["logdir", "export_path"])


def main() -> None:
    """Exports by the flags."""
    from delg_tf.common.errors import InputError
    from delg_tf.export.exporter import ExportOptions, export_model

    strides = {None: None, True: 32, False: 16}
    try:
        scales = tuple(float(scale) for scale in FLAGS.input_scales_list)
    except ValueError as error:
        raise InputError(f"--input_scales_list: {error}") from error
    metadata = export_model(
        FLAGS.logdir,
        FLAGS.export_path,
        ExportOptions(
            kind=FLAGS.kind,
            local_stride=strides[FLAGS.block3_strides],
            iou_threshold=FLAGS.iou,
            keypoints=FLAGS.keypoints,
            pooled_scales=scales,
            pooling=FLAGS.multi_scale_pool_type,
            normalise=FLAGS.normalize_global_descriptor,
        ),
        overwrite=FLAGS.overwrite,
    )
    print(
        f"{FLAGS.export_path}: {metadata.kind}, a local feature every "
        f"{metadata.local_stride} pixels with a receptive field of "
        f"{metadata.receptive_field}, attention median "
        f"{metadata.attention_median:.4g}, 75th percentile "
        f"{metadata.attention_percentile_75:.4g}"
    )


if __name__ == "__main__":
    cli.run(main)
