"""The drawing library, and every picture that is committed.

A picture is read back from its file. Where its texts are is estimated,
with letters as wide as they get in any usual font.
"""

import contextlib
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any
from xml.etree import ElementTree

import pytest

from notebooks import lab, pictures, refresh
from notebooks.pictures import SIZE, WIDTH, Axes, Axis, Figure, width_of
from taskmanager.testing import COLOURS
from tests import syntax
from tests.helpers import project_root

SVG = "{http://www.w3.org/2000/svg}"
ALT = "A line & two marks"


@dataclass(frozen=True)
class Label:
    """A text, and the box in which it stands, in pixels."""

    text: str
    left: float
    right: float
    top: float
    bottom: float

    def touches(self, other: "Label") -> bool:
        across = self.left < other.right and other.left < self.right
        down = self.top < other.bottom and other.top < self.bottom
        return across and down


def new_axes(**changes: Any) -> Axes:
    axes: Axes = lab.axes("A title", "time, s", "tasks", alt=ALT, **changes)
    return axes


def root_of(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.svg())  # noqa: S314


def committed() -> Iterator[Any]:
    """Each picture of each notebook, as the root of its tree."""
    for name in refresh.names():
        for number, cell in enumerate(refresh.read(name).cells, 1):
            for output in cell.get("outputs", []):
                if text := output.get("data", {}).get("image/svg+xml"):
                    root = ElementTree.fromstring(text)  # noqa: S314
                    yield pytest.param(root, id=f"{name}-{number}")


COMMITTED = list(committed())


def labels(element: ElementTree.Element, x: float = 0, y: float = 0) -> list[Label]:
    """The texts of a picture that stand still."""
    found = []
    for child in element:
        if child.get("class"):
            continue
        right, down, turned = moved(child)
        if child.tag == f"{SVG}text":
            found.append(label_of(child, x + right, y + down, turned))
        found += labels(child, x + right, y + down)
    return found


def moved(element: ElementTree.Element) -> tuple[float, float, bool]:
    transform = element.get("transform", "")
    place = re.match(r"translate\((\S+) ([^)]+)\)", transform)
    if place is None:
        return 0, 0, False
    return float(place[1]), float(place[2]), "rotate(-90)" in transform


def label_of(text: ElementTree.Element, x: float, y: float, turned: bool) -> Label:
    words = text.text or ""
    size = float(text.get("font-size", SIZE))
    width = width_of(words, size, text.get("font-weight", ""))
    start = {"middle": -width / 2, "end": -width}.get(text.get("text-anchor", ""), 0)
    # Letters reach so far above the line, and below it.
    up = 0.75 * size
    below = 0.2 * size
    if turned:
        return Label(words, x - up, x + below, y + start, y + start + width)

    left = x + float(text.get("x", 0)) + start
    base = y + float(text.get("y", 0))
    return Label(words, left, left + width, base - up, base + below)


def marks(root: ElementTree.Element) -> list[Label]:
    """What is marked between the axes, each as a box in the middle."""
    found = []
    for path in root.iterfind(f"{SVG}svg/{SVG}path[@stroke-linecap]"):
        for across, down in re.findall(r"M(\S+) (\S+?)[hm]", path.get("d", "")):
            x = float(across)
            y = float(down)
            found.append(Label("a mark", x - 3, x + 3, y - 3, y + 3))
    return found


# What is committed


@pytest.mark.parametrize("root", COMMITTED)
def test_no_text_of_a_committed_picture_is_cut_off(root: ElementTree.Element) -> None:
    height = float(root.get("height", 0))
    for label in labels(root):
        assert label.left >= 0, label
        assert label.right <= WIDTH, label
        assert label.top >= 0, label
        assert label.bottom <= height, label


@pytest.mark.parametrize("root", COMMITTED)
def test_each_text_of_a_committed_picture_is_read_on_white(
    root: ElementTree.Element,
) -> None:
    for text in root.iter(f"{SVG}text"):
        colour = text.get("fill", "")
        # White words stand in dark boxes.
        if re.fullmatch("#[0-9A-F]{6}", colour) and colour != "#FFFFFF":
            assert pictures.contrast(colour) >= 4.5, (text.text, colour)


@pytest.mark.parametrize("root", COMMITTED)
def test_no_text_of_a_committed_picture_hides_another(
    root: ElementTree.Element,
) -> None:
    for label, other in combinations(labels(root), 2):
        assert not label.touches(other), (label, other)


@pytest.mark.parametrize("root", COMMITTED)
def test_no_text_of_a_committed_picture_hides_a_mark(root: ElementTree.Element) -> None:
    for mark in marks(root):
        for label in labels(root):
            assert not label.touches(mark), (label, mark)


def lines(root: ElementTree.Element) -> Iterator[tuple[float, ...]]:
    """Each straight piece of what is drawn between the axes."""
    for path in root.iterfind(f"{SVG}svg/{SVG}path"):
        if path.get("stroke-linecap") or path.get("fill", "none") != "none":
            continue
        x = y = 0.0
        for letter, given in re.findall(r"([MLHV])([^MLHV]*)", path.get("d", "")):
            numbers = [float(each) for each in re.findall(r"-?[\d.]+", given)]
            if letter == "H":
                points = [(each, y) for each in numbers]
            elif letter == "V":
                points = [(x, each) for each in numbers]
            else:
                points = list(zip(numbers[::2], numbers[1::2], strict=True))
            if letter == "M":
                x, y = points.pop(0)
            for right, down in points:
                yield x, y, right, down
                x, y = right, down


def goes_through(line: tuple[float, ...], label: Label) -> bool:
    """Whether a piece of this line lies in the box of the label."""
    x, y, right, down = line
    begins = 0.0
    ends = 1.0
    # At which share of the line it passes each side of the box.
    for step, room in (
        (x - right, x - label.left),
        (right - x, label.right - x),
        (y - down, y - label.top),
        (down - y, label.bottom - y),
    ):
        if step == 0:
            if room < 0:
                return False
        elif step < 0:
            begins = max(begins, room / step)
        else:
            ends = min(ends, room / step)
    return begins <= ends


@pytest.mark.parametrize("root", COMMITTED)
def test_no_line_of_a_committed_picture_goes_through_a_text(
    root: ElementTree.Element,
) -> None:
    for line in lines(root):
        for label in labels(root):
            assert not goes_through(line, label), (label, line)


# Pictures with sliders


def slid(name: str, instead: dict[str, Any]) -> tuple[Any, dict[str, range]]:
    """What the slider of a lesson draws, and over which values."""
    found = []

    def sliders(draw: Any, **spans: range) -> None:
        found.append((draw, spans))

    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lab, "sliders", sliders)
        for cell in refresh.read(name).cells:
            if cell.cell_type != "code" or "lab.movie" in cell.source:
                continue
            source = cell.source
            if "lab.sliders" in source:
                # What takes long to measure is made up.
                given |= instead
                _, begin, rest = source.partition("LOADS = ")
                source = begin + rest if begin else source
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(source, name, "exec"), given)  # noqa: S102
            if found:
                return found[0]
    raise AssertionError(f"{name} has no slider")


async def made_up_wait(load: float) -> float:
    """A curve much like that of the waits over the load."""
    return 0.12 * load**3 / (1.01 - load)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("03-queue-and-workers", {"wait_at": made_up_wait}),
        ("04-backpressure-and-priorities", {}),
        ("06-rate-limiting", {}),
    ],
)
def test_no_value_of_a_slider_puts_a_text_on_anything(
    name: str, instead: dict[str, Any]
) -> None:
    draw, spans = slid(name, instead)
    # Every value of the first one, and some of the second.
    values = [list(span) for span in spans.values()]
    values[1:] = [each[::23] + each[-1:] for each in values[1:]]
    for chosen in product(*values):
        settings = dict(zip(spans, chosen, strict=True))
        root = root_of(draw(**settings))
        found = labels(root)
        for label, other in combinations(found, 2):
            assert not label.touches(other), (settings, label, other)
        for label in found:
            assert label.left >= 0, (settings, label)
            assert label.right <= WIDTH, (settings, label)
        for mark in marks(root):
            assert not any(each.touches(mark) for each in found), (settings, mark)
        for line in lines(root):
            for label in found:
                assert not goes_through(line, label), (settings, label)


# One picture


def test_it_says_in_words_what_it_shows_and_is_escaped() -> None:
    axes = new_axes()
    axes.figure.title = "a < b & c"
    axes.text(0, 0, "x < y & z")
    axes.plot([0, 1], [0, 1], label="p > q & r")

    shown, metadata = axes._repr_mimebundle_()
    assert shown["text/plain"] == "<Figure: a < b & c>"
    assert metadata == {"image/svg+xml": {"alt": ALT}}
    root = ElementTree.fromstring(shown["image/svg+xml"])  # noqa: S314
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "a < b & c"
    assert root.findtext(f"{SVG}desc") == ALT
    assert {"a < b & c", "x < y & z", "p > q & r"} <= words(root)
    # It can be read on a dark page.
    background = root.find(f"{SVG}rect")
    assert background is not None
    assert background.get("fill") == "#FFF"


def words(root: ElementTree.Element) -> set[str]:
    return {label.text for label in labels(root)}


def test_the_same_picture_is_the_same_short_file() -> None:
    def draw() -> str:
        axes = new_axes()
        axes.plot([0, 1 / 3, 2 / 3, 1], [1 / 7, 5, 2 / 9, 1], "o--")
        axes.bar(0, 0.1, 1 / 3, color=lab.RED)
        axes.axvspan(1 / 9, 2 / 9)
        return axes.figure.svg()

    assert draw() == draw()
    assert draw() == draw()
    assert not re.search(r"\d\.\d\d", draw().replace('fill-opacity="0.15"', ""))
    assert len(draw()) < 3000


def test_points_in_the_middle_of_a_level_line_are_left_out() -> None:
    assert pictures.path_of([(0, 1), (2, 1), (4, 1), (4, 5), (4, 9), (5, 0)]) == (
        "M0 1H4V9L5 0"
    )
    # There and back is no such line.
    assert pictures.path_of([(0, 1), (0, 9), (0, 1)]) == "M0 1V9V1"


@pytest.mark.parametrize(
    ("low", "high", "most", "texts"),
    [
        (0, 10, 5, "0 2 4 6 8 10"),
        (-0.07, 0.31, 8, "\N{MINUS SIGN}0.05 0.00 0.05 0.10 0.15 0.20 0.25 0.30"),
        (45, 101, 6, "50 60 70 80 90 100"),
        (0, 2500, 5, "0 500 1,000 1,500 2,000 2,500"),
        (3e-7, 9e-7, 3, "0.0000004 0.0000006 0.0000008"),
    ],
)
def test_ticks_stand_at_round_numbers(
    low: float, high: float, most: float, texts: str
) -> None:
    for limits in ((low, high), (high, low)):
        assert " ".join(Axis(limits=limits).marks(most).values()) == texts


@pytest.mark.parametrize(
    ("low", "high", "most", "texts"),
    [
        (80, 120_000, 5, "100 1,000 10,000 100,000"),
        (8, 110, 5, "10 20 50 100"),
        (0.15, 40, 8, "0.2 0.5 1 2 5 10 20"),
        (0.15, 40, 5, "1 10"),
        (1e-4, 2e5, 5, "0.0001 0.01 1 100 10,000"),
        (2.1, 4.7, 6, "3 4"),
    ],
)
def test_ticks_of_a_logarithmic_axis(
    low: float, high: float, most: float, texts: str
) -> None:
    axis = Axis(scale="log", limits=(low, high))
    assert " ".join(axis.marks(most).values()) == texts


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("greatest", [0.003, 7, 4321, 98_765_432])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_no_text_of_a_new_picture_is_cut_off_or_hides_another(
    scale: str, greatest: float, rows: int
) -> None:
    made = lab.axes("A title", "time, s", "tasks", rows=rows, height=4.8, alt=ALT)
    charts: list[Axes] = made if rows > 1 else [made]
    for number, axes in enumerate(charts):
        axes.plot([greatest / 500, greatest], [greatest, greatest / 300], label="all")
        axes.set_xscale(scale)
        axes.set_yscale(scale)
        axes.set_title("Another title" if number == 1 else "")

    (figure,) = {axes.figure for axes in charts}
    found = labels(root_of(figure))
    assert len(found) > 6 * rows
    for label, other in combinations(found, 2):
        assert not label.touches(other), (label, other)
    for label in found:
        assert min(label.left, label.top) >= 0, label
        assert label.right <= WIDTH, label
        assert label.bottom <= float(root_of(figure).get("height", 0)), label


def test_numbers_of_the_x_axis_stand_side_by_side() -> None:
    axes = new_axes()
    axes.plot([0, 90_000_000], [0, 1])
    numbers = [label for label in labels(root_of(axes.figure)) if ",000" in label.text]
    assert len(numbers) >= 3
    for number, other in combinations(numbers, 2):
        assert not number.touches(other)


@pytest.mark.parametrize(
    ("scale", "values", "shares"),
    [
        ("linear", [0, 5, 10], [0, 0.5, 1]),
        ("log", [1, 10, 100], [0, 0.5, 1]),
        ("symlog", [0, 1, 10], [0, 0.5, 1]),
        ("symlog", [-10, 0, 10], [0, 0.5, 1]),
    ],
)
def test_where_a_value_is(scale: str, values: list[float], shares: list[float]) -> None:
    first, *_, last = values
    place = Axis(scale=scale, limits=(first, last)).placed(0, 1)
    assert [place(value) for value in values] == pytest.approx(shares)
    upside_down = Axis(scale=scale, limits=(last, first)).placed(1, 0)
    assert [upside_down(value) for value in values] == pytest.approx(shares)


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
def test_all_that_is_drawn_fits_in_and_so_do_the_ticks(scale: str) -> None:
    axis = Axis(scale=scale, values=[2, 30], ticks={1: "1", 100: "100"})
    place = axis.placed(0, 1)
    assert 0 < place(1) < place(2) < place(30) < place(100) < 1


def test_limits_without_anything_between_them_are_set_apart() -> None:
    axes = new_axes()
    axes.plot([1, 2], [0, 0])
    axes.set_ylim(0, 0)
    assert {"0.0", "1.0"} <= words(root_of(axes.figure))


def test_the_time_to_draw_grows_with_the_points_and_not_faster() -> None:
    def seconds(count: int) -> float:
        axes = new_axes()
        axes.plot(range(count), [number % 7 for number in range(count)])
        begun = time.process_time()
        axes.figure.svg()
        return time.process_time() - begun

    few = min(seconds(500) for _ in range(3))
    assert min(seconds(5000) for _ in range(3)) < 40 * few


@pytest.mark.parametrize("values", [[], [7], [1e17], [-1e-9]])
def test_a_chart_of_nothing_and_of_one_point(values: list[float]) -> None:
    axes = new_axes()
    axes.plot(values, values, "o")
    assert len(words(root_of(axes.figure))) > 5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_has_no_place_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no place in a picture"):
        new_axes().plot([0, 1], [0, value])


def test_zero_has_no_place_on_a_logarithmic_axis() -> None:
    axes = new_axes()
    axes.plot([1, 2], [0, 1])
    axes.set_yscale("log")
    with pytest.raises(ValueError, match="0 has no place on a logarithmic axis"):
        axes.figure.svg()


def drawn(axes: Axes) -> list[dict[str, str]]:
    """The attributes of all that stands between the axes."""
    return [item.attrib for item in root_of(axes.figure).iterfind(f"{SVG}svg/*")]


def square(**changes: Any) -> tuple[Axes, float, float, float, float]:
    """Axes from 0 to 1, and the pixels at which they begin and end."""
    axes = new_axes(**changes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.bar(0, 1, 0.5, color=lab.RED, height=1)
    (box,) = drawn(axes)
    left, top, width, height = (
        float(box[name]) for name in ("x", "y", "width", "height")
    )
    return axes, left, left + width, top, top + height


def test_a_line_goes_through_its_points() -> None:
    axes, left, right, top, bottom = square()
    axes.plot([0, 1], [0, 1])
    _, line = drawn(axes)
    ends = [float(number) for number in re.findall(r"[\d.]+", line["d"])]
    assert ends == pytest.approx([left, bottom, right, top], abs=0.11)


@pytest.mark.parametrize(("where", "bends"), [("pre", "VH"), ("post", "HV")])
def test_a_step_holds_up_to_its_x_or_from_there_on(where: str, bends: str) -> None:
    axes = new_axes()
    axes.step([0, 1, 2], [0, 3, 1], where=where)
    (line,) = drawn(axes)
    assert "".join(re.findall("[A-Z]", line["d"])) == f"M{bends * 2}"


def test_a_line_of_steps_may_be_dashed() -> None:
    axes = new_axes()
    axes.step([0, 1, 2], [0, 3, 1], linestyle="--")
    (line,) = drawn(axes)
    assert line["stroke-dasharray"] == pictures.DASHES["--"]


def test_what_leaves_the_limits_is_cut_off() -> None:
    axes, left, right, top, bottom = square()
    axes.plot([-5, 5], [-5, 5])
    inside = root_of(axes.figure).find(f"{SVG}svg")
    assert inside is not None
    box = [float(inside.get(name, 0)) for name in ("x", "y", "width", "height")]
    reach = pictures.REACH
    assert box == pytest.approx(
        [
            left - reach,
            top - reach,
            right - left + 2 * reach,
            bottom - top + 2 * reach,
        ],
        abs=0.11,
    )
    assert inside.get("viewBox") == " ".join(f"{side:g}" for side in box)


def test_rows_share_one_x_axis() -> None:
    above, below = lab.axes("Two", "time, s", "", rows=2, alt=ALT)
    above.plot([3], [1], "o")
    below.plot([3, 800], [1000, 2000], "o")
    x_of_marks = [mark.left for mark in marks(root_of(above.figure))]
    assert x_of_marks.count(min(x_of_marks)) == 2
    assert above._repr_mimebundle_() == below._repr_mimebundle_()
    # The numbers of the x axis stand once.
    texts = [label.text for label in labels(root_of(below.figure))]
    assert texts.count("800") == 1


def test_what_has_a_label_is_in_the_key_once() -> None:
    above, below = lab.axes("Two", "time, s", "", rows=2, alt=ALT)
    for axes in (above, below):
        for number in range(12):
            axes.plot([0, 1], [0, number], "s:", label=f"line number {number}")
    found = [label for label in labels(root_of(above.figure)) if "line" in label.text]
    assert len(found) == 12
    assert max(label.right for label in found) < WIDTH
    # It is in lines.
    assert len({label.top for label in found}) > 1


def test_an_arrow_leads_from_box_to_box() -> None:
    axes, *_ = square()
    one = axes.text(0, 0.5, "one", box="white")
    other = axes.text(1, 0.5, "other", box="white")
    axes.arrow(one, other)
    _, arrow = drawn(axes)
    start = float(re.findall(r"M([\d.]+)", arrow["d"])[0])
    tip = max(float(x) for x in re.findall(r"[MHL]([\d.]+)", arrow["d"]))
    boxes = root_of(axes.figure).findall(f"{SVG}rect")[1:]
    first, second = boxes
    end_of_first = float(first.get("x", 0)) + float(first.get("width", 0))
    assert start == pytest.approx(end_of_first, abs=0.2)
    assert tip == pytest.approx(float(second.get("x", 0)), abs=0.2)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#FFFFFF", 21),
        ("#FFFFFF", "#FFFFFF", 1),
        # As WebAIM's contrast checker says.
        ("#777777", "#FFFFFF", 4.48),
    ],
)
def test_contrast(one: str, other: str, ratio: float) -> None:
    assert pictures.contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert pictures.contrast(other, one) == pytest.approx(ratio, abs=0.005)


def test_words_are_darker_than_their_line_where_they_need_to_be() -> None:
    axes = new_axes()
    for colour in COLOURS:
        axes.text(0, 0, colour, color=colour)
    for text in root_of(axes.figure).iter(f"{SVG}text"):
        if text.text in COLOURS:
            shown = text.get("fill", "")
            given = pictures.contrast(text.text)
            assert pictures.contrast(shown) >= 4.5
            assert (shown == text.text) is (given >= 4.5)
            # No darker than need be.
            assert given >= 4.5 or pictures.contrast(shown) < 4.7
    # In a box, the colour is for that box.
    assert pictures.legible("white") == "white"


def test_an_annotation_has_an_arrow_to_its_point() -> None:
    axes, left, *_ = square()
    axes.annotate("here", (0, 0), (0.5, 0))
    _, arrow = drawn(axes)
    nearest = min(float(x) for x in re.findall(r"[MHL]([\d.]+)", arrow["d"]))
    assert left < nearest < left + 6


@pytest.mark.parametrize(
    ("text", "weight", "pixels"),
    [
        # As a browser has measured them in DejaVu Sans, the widest.
        ("retry budget", "bold", 93.1),
        ("every 0.1 s", "bold", 80.8),
        ("the last task comes", "", 127.1),
        ("MAX_TASKS", "", 76.4),
        ("1,000,000", "", 66.2),
    ],
)
def test_letters_are_estimated_wide_enough(
    text: str, weight: str, pixels: float
) -> None:
    assert pixels <= width_of(text, SIZE, weight) < 1.25 * pixels


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numpy", "matplotlib", "cycler", "PIL"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
from notebooks import lab
span = lab.Span("id", 1, "processing", 0, 2, "completed", 1)
print(lab.gantt("One", [span], alt="One bar.").figure.svg())
"""


@pytest.mark.slow
def test_the_laboratory_draws_where_numpy_and_matplotlib_are_missing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED],
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    root = ElementTree.fromstring(run.stdout)  # noqa: S314
    assert {"One", "processing", "completed"} <= words(root)


@pytest.mark.parametrize("name", refresh.names())
def test_no_notebook_imports_numpy_or_matplotlib(name: str) -> None:
    tree = syntax.cells(project_root() / "notebooks" / f"{name}.ipynb")
    assert not syntax.roots_imported(tree) & {"matplotlib", "numpy"}
