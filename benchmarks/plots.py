"""Draws the charts of a run with matplotlib, in one style: labelled
axes with units, colours that all can tell apart.

Rule: a picture shows what the run measured, and nothing that a table of
the same run does not say.
"""

from pathlib import Path
from typing import Any

from benchmarks.harness import Chart, shown

# Okabe and Ito's palette, made for colour blindness; markers tell the
# series apart in print.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000"]
MARKERS = "os^Dv<>"
STYLE: dict[Any, Any] = {
    "figure.figsize": (8.0, 4.0),
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "font.size": 10,
    "svg.hashsalt": "benchmarks",  # the same picture is the same file
}


def draw(charts: list[Chart], folder: Path) -> list[Path]:
    """Write each chart to ``folder`` as an SVG file. Raises ImportError
    where matplotlib is missing.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in charts:
        with plt.rc_context(STYLE):
            figure, axes = plt.subplots()
            (_bars if chart.kind == "bars" else _lines)(axes, chart)
            axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
            paths.append(folder / f"{chart.name}.svg")
            figure.savefig(paths[-1], metadata={"Date": None})
            plt.close(figure)
    return paths


def _lines(axes, chart: Chart) -> None:  # type: ignore[no-untyped-def] # matplotlib need not be installed
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
            color=COLOURS[index % 7],
            marker=MARKERS[index % 7],
            linewidth=width,
        )
    axes.set_xscale("log")
    # what was measured
    axes.set_xticks(sorted({x for points in chart.series.values() for x, _ in points}))
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


def _bars(axes, chart: Chart) -> None:  # type: ignore[no-untyped-def]
    """Horizontal bars, one a label, so that long names can be read;
    each says its value.
    """
    labels = list(
        dict.fromkeys(label for points in chart.series.values() for label, _ in points)
    )
    height = 0.8 / len(chart.series)
    for index, (name, points) in enumerate(chart.series.items()):
        places = [labels.index(label) + index * height for label, _ in points]
        bars = axes.barh(
            places,
            [value for _, value in points],
            height * 0.9,
            label=name,
            color=COLOURS[index % 7],
        )
        axes.bar_label(bars, fmt=shown, padding=3)
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(labels))], labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    if len(chart.series) > 1:
        axes.legend(frameon=False)
