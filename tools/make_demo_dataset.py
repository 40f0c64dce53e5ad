"""Makes a landmark data set of photographs and a simulated camera.

The photographs are those that scikit-image and scikit-learn ship; --photos
adds your own. The layout is that of Google Landmarks v2 (training) and of
Revisited Oxford (validation and held-out landmarks), so the other tools run
on it unchanged:

  python tools/make_demo_dataset.py --output_directory=landmarks
"""

import dataclasses

from absl import flags

from delg_tf.common import cli

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "output_directory",
    None,
    "Folder of the data set, made if it is missing. A run that was cut off "
    "goes on there.",
)
flags.DEFINE_string(
    "photos",
    None,
    "Folder of your own photographs, searched with its subfolders; about two "
    "thirds of them become training landmarks.",
)
flags.DEFINE_integer("seed", 0, "Seed of everything random.")
flags.DEFINE_integer("train_views", 60, "Images of each training landmark.")
flags.DEFINE_integer(
    "scenes",
    60,
    "Training landmarks composed of several regions, beside the plain ones.",
)
flags.DEFINE_integer(
    "test_scenes", 6, "The same for the validation and the held-out set each."
)
flags.DEFINE_integer("queries", 2, "Query images of each tested landmark.")
flags.DEFINE_integer("easy", 4, "Easy index images of each tested landmark.")
flags.DEFINE_integer("hard", 5, "Hard index images of each tested landmark.")
flags.DEFINE_integer(
    "junk", 2, "Index images that hardly show it, of each tested landmark."
)
flags.DEFINE_integer(
    "distractors", 60, "Index images without a landmark, of each test set."
)
flags.mark_flag_as_required("output_directory")


def main() -> None:
    """Builds the data set by the flags."""
    from delg_tf.data.synthetic.builder import SyntheticConfig, build_dataset

    names = [field.name for field in dataclasses.fields(SyntheticConfig)]
    config = SyntheticConfig(**{name: FLAGS[name].value for name in names})
    summary = build_dataset(FLAGS.output_directory, config, FLAGS.photos)
    for group, photographs in summary["photographs"].items():
        counts = ", ".join(
            f"{count} {what}" for what, count in summary[group].items()
        )
        print(f"{group}: {len(photographs)} photographs, {counts}")


if __name__ == "__main__":
    cli.run(main)
