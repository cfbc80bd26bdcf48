"""Draws the charts of a run with matplotlib, in one style.

Axes are labelled, with units, in colours that all can tell apart. Rule:
a picture shows what the run measured, and nothing that a table of the
same run does not say.
"""

from pathlib import Path
from typing import Any

from benchmarks.harness import Chart, shown
from taskmanager.testing import COLOURS

# They tell the series apart in print.
MARKERS = "os^Dv<>"
STYLE: dict[Any, Any] = {
    "figure.figsize": (8.0, 4.0),
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "font.size": 10,
    # The same picture is the same file.
    "svg.hashsalt": "benchmarks",
}


def draw(charts: list[Chart], folder: Path) -> list[Path]:
    """Write each chart to ``folder`` as an SVG file.

    Raises ImportError where matplotlib is missing.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in charts:
        with plt.rc_context(STYLE):
            figure, axes = plt.subplots()
            if chart.kind == "bars":
                _bars(axes, chart)
            else:
                _lines(axes, chart)
            axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)

            path = folder / f"{chart.name}.svg"
            figure.savefig(path, metadata={"Date": None})
            plt.close(figure)
        paths.append(path)
    return paths


# The types of matplotlib are not known where it is not installed.
def _lines(axes: Any, chart: Chart) -> None:
    from matplotlib.ticker import LogLocator

    for index, (label, points) in enumerate(chart.series.items()):
        xs, ys = zip(*points, strict=True)
        # Wider below, narrower above: of two lines that coincide both
        # are seen.
        width = 1.2 + 0.6 * (len(chart.series) - index)
        axes.plot(
            xs,
            ys,
            label=label,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            linewidth=width,
        )

    # The ticks are at what was measured.
    measured = {x for points in chart.series.values() for x, _ in points}
    axes.set_xscale("log")
    axes.set_xticks(sorted(measured))
    if chart.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        axes.set_ylim(bottom=0)
    axes.minorticks_off()

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,g}")
    axes.grid(color="#dddddd", linewidth=0.6)
    if len(chart.series) > 1:
        axes.figure.legend(loc="outside right upper", frameon=False)


def _bars(axes: Any, chart: Chart) -> None:
    """Horizontal bars, one a label, so that long names can be read.

    Each says its value.
    """
    labels: list[str] = []
    for points in chart.series.values():
        labels += [label for label, _ in points if label not in labels]

    height = 0.8 / len(chart.series)
    for index, (name, points) in enumerate(chart.series.items()):
        places = [labels.index(label) + index * height for label, _ in points]
        values = [value for _, value in points]
        bars = axes.barh(
            places,
            values,
            height * 0.9,
            label=name,
            color=COLOURS[index % len(COLOURS)],
        )
        axes.bar_label(bars, fmt=shown, padding=3)

    middles = [place + 0.4 - height / 2 for place in range(len(labels))]
    axes.set_yticks(middles, labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    if len(chart.series) > 1:
        axes.legend(frameon=False)
