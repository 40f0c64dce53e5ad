"""Picture of how numbers of inliers tell pairs of images apart."""

from matplotlib.axes import Axes

from delg_tf.common.files import PathLike
from delg_tf.evaluation.pairs import PairMetrics
from delg_tf.report import svg
from delg_tf.report.histograms import INLIER_BINS, draw_histograms


def write_pair_chart(
    path: PathLike, metrics: PairMetrics, overwrite: bool = False
) -> None:
    """Draws the precision-recall curve beside the histograms of inliers.

    Args:
        path: the SVG file to write.
        metrics: as `evaluate_pairs` returns them.
        overwrite: whether the file may exist.

    Raises:
        InputError: the file exists and may not be replaced.
    """
    figure, (left, right) = svg.new_row(2, 9.2, 3.6)
    _draw_curve(left, metrics)
    draw_histograms(
        right,
        {
            "matching": metrics.inliers[metrics.matches],
            "others": metrics.inliers[~metrics.matches],
        },
        "inliers",
        INLIER_BINS,
    )
    svg.write_svg(
        path,
        figure,
        "Precision over recall of pairs ranked by inliers, and histograms of "
        "the inliers of matching and of other pairs",
        overwrite,
    )


def _draw_curve(axes: Axes, metrics: PairMetrics) -> None:
    curve = metrics.curve
    # Up to a threshold's recall its precision holds: the area is the AP.
    axes.step(
        [0, *(100 * curve.recall)],
        [100 * curve.precision[0], *(100 * curve.precision)],
        where="pre",
        color=svg.BLUE,
        linewidth=1.6,
        label=f"inliers, AP {100 * metrics.average_precision:.2f}",
    )
    axes.axhline(
        100 * metrics.chance,
        color=svg.MUTED,
        linewidth=0.9,
        dashes=(4, 3),
        label=f"chance {100 * metrics.chance:.2f}",
    )
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 105)
    svg.set_labels(axes, "recall, %", "precision, %")
    svg.add_legend(axes)
