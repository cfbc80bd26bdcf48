"""Pictures: charts as SVG, in pure Python, for notebook and browser.

The methods of ``Axes`` have the names that matplotlib gives them, and
mean the same; whatever it has beyond these is missing here. What has a
``label`` is named in a line below the title. A cell shows a picture
whose last line is its Axes, or their ``figure``.

Rules: text stays text, and is escaped. Nobody can measure it without
its font, so ``width_of`` estimates it, rather too wide than too narrow.
Places are rounded, and the same picture is the same file. This needs
nothing but Python's own library.
"""

import html
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from taskmanager.testing import COLOURS

WIDTH = 640  # pixels, of every picture
SIZE = 13  # pixels, of its text
TITLE_SIZE = 15
LINE = 17  # pixels, from one line of text to the next
EDGE = 10  # pixels, that stay empty at the edges
INCH = 96  # pixels, of a height in inches
TICK = 4  # pixels, that a tick is long
REACH = 6  # pixels, by which a mark may reach out of the axes
READ = 4.5  # the least contrast of words, by WCAG 2

INK = "#222"
GREY = "#555"
DASHES = {"-": "", "--": "6 4", ":": "2 3"}

# A mark, from its centre: how it is drawn, and with which line.
MARKS = {
    "o": ("h0", 10.0, "round"),
    ".": ("h0", 4.0, "round"),
    "s": ("h0", 9.0, "square"),
    "X": ("m-4-4l8 8m0-8l-8 8", 3.5, "butt"),
    "P": ("m-5 0h10m-5-5v10", 3.5, "butt"),
    "D": ("m0-4l4 4-4 4-4-4z", 2.0, "butt"),
    "^": ("m0-4l4 7h-8z", 2.0, "butt"),
}

# Letters by their width, as in wide fonts such as Verdana.
NARROW = set("ijlI.,:;'|!()[] ftr/-")
WIDE = set("mwMW%@")

Point = tuple[float, float]
Place = Callable[[float], float]  # of a value, in pixels


# Markup


def short(number: float) -> str:
    """With one decimal, if it needs one."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def element(name: str, words: str = "", /, **attributes: object) -> str:
    """An element; those of its attributes that are empty are left out.

    ``stroke_width`` becomes stroke-width.
    """
    said = ""
    for key, value in attributes.items():
        if value == "":
            continue
        text = short(value) if isinstance(value, float) else str(value)
        said += f' {key.replace("_", "-")}="{html.escape(text)}"'
    if not words:
        return f"<{name}{said}/>"
    return f"<{name}{said}>{html.escape(words, quote=False)}</{name}>"


def document(title: str, alt: str, height: int, body: str, style: str = "") -> str:
    """The file: white, with its title, and what it shows in words."""
    head = element("title", title) + element("desc", alt)
    if style:
        head += element("style", style)
    heading = element("text", title, x=EDGE, y=20, font_size=TITLE_SIZE)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'style="max-width:100%;height:auto" '
        f'font-family="sans-serif" font-size="{SIZE}">{head}'
        '<rect width="100%" height="100%" fill="#FFF"/>'
        f"{heading}{body}</svg>"
    )


def width_of(text: str, size: float = SIZE, weight: str = "") -> float:
    """How wide a text is at most, in pixels, in any usual font."""
    width = 0.0
    for letter in text:
        if letter in NARROW:
            width += 0.4
        elif letter in WIDE:
            width += 0.98
        elif letter.isupper():
            width += 0.76
        else:
            width += 0.64
    return width * size * (1.12 if weight == "bold" else 1.0)


def contrast(one: str, other: str = "#FFFFFF") -> float:
    """How well a colour is read on another, 1 to 21, as in WCAG 2."""
    lights = sorted(_light_of(colour) for colour in (one, other))
    darker, lighter = lights
    return (lighter + 0.05) / (darker + 0.05)


def _light_of(colour: str) -> float:
    """The relative luminance of a colour such as #E69F00."""
    light = 0.0
    for start, share in ((1, 0.2126), (3, 0.7152), (5, 0.0722)):
        value = int(colour[start : start + 2], 16) / 255
        if value <= 0.04045:
            light += share * value / 12.92
        else:
            light += share * ((value + 0.055) / 1.055) ** 2.4
    return light


def legible(colour: str) -> str:
    """The colour in which words are to stand on white.

    A line or a mark is seen in colours in which words are not: those
    are darkened as far as need be. Others, such as black, stay.
    """
    if len(colour) != len("#RRGGBB"):
        return colour
    parts = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    darker = colour
    percent = 100
    while contrast(darker) < READ:
        percent -= 1
        darker = "#" + "".join(f"{part * percent // 100:02X}" for part in parts)
    return darker


def path_of(points: Iterable[Point]) -> str:
    """A line through these points, in pixels."""
    rounded = [(round(x, 1), round(y, 1)) for x, y in points]
    path = ""
    pen: Point | None = None
    for x, y in _bends(rounded):
        if pen is None:
            path += f"M{short(x)} {short(y)}"
        else:
            pen_x, pen_y = pen
            if x == pen_x:
                path += f"V{short(y)}"
            elif y == pen_y:
                path += f"H{short(x)}"
            else:
                path += f"L{short(x)} {short(y)}"
        pen = (x, y)
    return path


def _bends(points: Sequence[Point]) -> Iterator[Point]:
    """These points, without those within a level or an upright line."""
    for index, (x, y) in enumerate(points):
        if 0 < index < len(points) - 1:
            before_x, before_y = points[index - 1]
            after_x, after_y = points[index + 1]
            level = before_y == y == after_y and before_x <= x <= after_x
            upright = before_x == x == after_x and (before_y <= y) == (y <= after_y)
            if level or upright:
                continue
        yield x, y


class Picture(ABC):
    """What Jupyter shows as SVG, and what it says in words."""

    title: str
    alt: str

    @abstractmethod
    def svg(self) -> str:
        """The file."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.title}>"

    def _repr_mimebundle_(
        self, **_: object
    ) -> tuple[dict[str, str], dict[str, object]]:
        shown = {"image/svg+xml": self.svg(), "text/plain": repr(self)}
        return shown, {"image/svg+xml": {"alt": self.alt}}


# Scales


@dataclass
class Axis:
    """From values to places, and the round numbers among them.

    Its scale is "linear", "log", or "symlog": linear up to 1, and
    logarithmic above.
    """

    label: str = ""
    scale: str = "linear"
    limits: tuple[float, float] | None = None
    ticks: dict[float, str] | None = None
    # What is drawn has to fit in.
    values: list[float] = field(default_factory=list)

    @property
    def ends(self) -> tuple[float, float]:
        """The first and last value; the first may be the greater."""
        if self.limits is not None:
            first, last = self.limits
            return first, last if last != first else last + 1
        values = [*self.values, *(self.ticks or [])] or [0.0, 1.0]
        low = self._scaled(min(values))
        high = self._scaled(max(values))
        margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
        return self._value(low - margin), self._value(high + margin)

    def placed(self, first_pixel: float, last_pixel: float) -> Place:
        """Where its values are between these two pixels."""
        first, last = (self._scaled(end) for end in self.ends)
        pixels = (last_pixel - first_pixel) / (last - first)

        def place(value: float) -> float:
            return first_pixel + (self._scaled(value) - first) * pixels

        return place

    def marks(self, most: float) -> dict[float, str]:
        """The ticks, at most about so many, each with its text."""
        if self.ticks is not None:
            return self.ticks
        low, high = sorted(self.ends)
        if self.scale == "linear":
            return _round_numbers(low, high, most)
        return _powers(low, high, most)

    def fitting(self, width: float) -> dict[float, str]:
        """The ticks, so few that their texts stand side by side."""
        marks = self.marks(width / 50)
        widest = max(map(width_of, marks.values()), default=0.0)
        if len(marks) * (widest + 10) > width:
            marks = self.marks(width / (widest + 30))
        return marks

    def _scaled(self, value: float) -> float:
        if self.scale == "linear":
            return value
        if self.scale == "log":
            if value <= 0:
                raise ValueError(f"{value:g} has no place on a logarithmic axis")
            return math.log10(value)
        if abs(value) <= 1:
            return value
        return math.copysign(1 + math.log10(abs(value)), value)

    def _value(self, scaled: float) -> float:
        if self.scale == "linear":
            return scaled
        if self.scale == "log":
            return math.pow(10, scaled)
        if abs(scaled) <= 1:
            return scaled
        return math.copysign(math.pow(10, abs(scaled) - 1), scaled)


def _round_numbers(low: float, high: float, most: float) -> dict[float, str]:
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [power, 2 * power, 5 * power, 10 * power]
    step = next(step for step in steps if step >= rough * (1 - 1e-9))

    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return {
        number * step: f"{number * step:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")
        for number in range(first, last + 1)
    }


def _powers(low: float, high: float, most: float) -> dict[float, str]:
    """Powers of ten; where they are few, with doubles and halves."""
    low = max(low, 1e-12)
    decades = math.log10(high / low)
    # From 1 to 2, and from 5 to 10, it is nearly a third of a decade.
    few = decades < 3 and decades / 0.4 <= most
    factors = [1, 2, 5] if few else [1]
    every = math.ceil(decades / max(most, 1))

    first = every * math.floor(math.log10(low) / every)
    powers = range(first, math.ceil(math.log10(high)) + 1, every)
    values = [factor * math.pow(10, power) for power in powers for factor in factors]
    inside = [value for value in values if low <= value <= high]
    if len(inside) < 2:
        return _round_numbers(low, high, most / 2)
    return {value: number_of(value) for value in inside}


def number_of(value: float) -> str:
    """A number in full, with a comma after thousands."""
    return f"{value:,.10g}" if abs(value) < 1e10 else f"{value:g}"


@dataclass(frozen=True)
class Frame:
    """Where the axes are in the picture, in pixels."""

    left: float
    right: float
    top: float
    bottom: float
    across: Place  # from the left
    down: Place  # from the top

    def at(self, point: Point) -> Point:
        x, y = point
        return self.across(x), self.down(y)


# What can be drawn


class Item(Protocol):
    def svg(self, frame: Frame) -> str:
        """Itself, as markup."""


@dataclass(frozen=True)
class Curve:
    """A line through points."""

    points: Sequence[Point]
    color: str
    dashes: str
    linewidth: float

    def svg(self, frame: Frame) -> str:
        return element(
            "path",
            d=path_of(frame.at(point) for point in self.points),
            fill="none",
            stroke=self.color,
            stroke_width=self.linewidth,
            stroke_dasharray=self.dashes,
            stroke_linejoin="round",
        )


@dataclass(frozen=True)
class Marks:
    """A mark at each point."""

    points: Sequence[Point]
    color: str
    mark: str

    def svg(self, frame: Frame) -> str:
        shape, width, cap = MARKS[self.mark]
        places = (frame.at(point) for point in self.points)
        return element(
            "path",
            d="".join(f"M{short(x)} {short(y)}{shape}" for x, y in places),
            fill=self.color,
            stroke=self.color,
            stroke_width=width,
            stroke_linecap=cap,
        )


@dataclass(frozen=True)
class Box:
    """A rectangle. Without ``y`` it is as high as the axes."""

    x: tuple[float, float]
    y: tuple[float, float] | None
    color: str
    edge: str = ""
    alpha: float = 1.0

    def svg(self, frame: Frame) -> str:
        left, right = sorted(frame.across(x) for x in self.x)
        top, bottom = (frame.top, frame.bottom)
        if self.y is not None:
            top, bottom = sorted(frame.down(y) for y in self.y)
        return element(
            "rect",
            x=left,
            y=top,
            width=right - left,
            height=bottom - top,
            fill=self.color,
            fill_opacity="" if self.alpha == 1 else f"{self.alpha:g}",
            stroke=self.edge,
            stroke_width=0.6 if self.edge else "",
        )


@dataclass(frozen=True)
class Rule:
    """A line through all of the axes, at ``x`` or at ``y``."""

    x: float | None
    y: float | None
    color: str
    dashes: str
    linewidth: float

    def svg(self, frame: Frame) -> str:
        if self.x is not None:
            x = frame.across(self.x)
            ends = [(x, frame.bottom), (x, frame.top)]
        else:
            y = frame.down(self.y or 0)
            ends = [(frame.left, y), (frame.right, y)]
        return element(
            "path",
            d=path_of(ends),
            stroke=self.color,
            stroke_width=self.linewidth,
            stroke_dasharray=self.dashes,
        )


ANCHORS = {"left": "", "center": "middle", "right": "end"}
# How far below its place the line is on which the letters stand.
BASELINES = {"baseline": 0.0, "center": 4.5, "top": 11.0, "bottom": -3.0}


@dataclass(frozen=True)
class Words:
    """A text, with a ``box`` of this colour behind it."""

    point: Point
    text: str
    color: str
    ha: str = "left"
    va: str = "baseline"
    weight: str = ""
    offset: Point = (0.0, 0.0)  # pixels to the right, and up
    box: str = ""

    @property
    def half(self) -> Point:
        """Half the width and half the height of its box."""
        return width_of(self.text, SIZE, self.weight) / 2 + 6, 14.0

    def svg(self, frame: Frame) -> str:
        x, y = frame.at(self.point)
        right, up = self.offset
        colour = self.color if self.box else legible(self.color)
        words = element(
            "text",
            self.text,
            x=x + right,
            y=y - up + BASELINES[self.va],
            text_anchor=ANCHORS[self.ha],
            font_weight=self.weight,
            fill="" if colour == INK else colour,
        )
        if not self.box:
            return words

        wide, high = self.half
        behind = element(
            "rect",
            x=x - wide,
            y=y - high,
            width=2 * wide,
            height=2 * high,
            rx=5,
            fill=self.box,
        )
        return behind + words


@dataclass(frozen=True)
class Arrow:
    """From one text to another, or to a point."""

    start: Words
    end: "Words | Point"
    color: str

    def svg(self, frame: Frame) -> str:
        to = self.end.point if isinstance(self.end, Words) else self.end
        x, y = frame.at(self.start.point)
        end_x, end_y = frame.at(to)
        length = math.hypot(end_x - x, end_y - y) or 1.0
        towards = ((end_x - x) / length, (end_y - y) / length)
        right, down = towards

        leaves = _edge(self.start, towards)
        arrives = 4.0
        if isinstance(self.end, Words):
            arrives = _edge(self.end, towards)

        tip = (end_x - right * arrives, end_y - down * arrives)
        tip_x, tip_y = tip
        foot = (tip_x - 9 * right, tip_y - 9 * down)
        foot_x, foot_y = foot
        head = [
            (foot_x - 4 * down, foot_y + 4 * right),
            tip,
            (foot_x + 4 * down, foot_y - 4 * right),
        ]
        line = [(x + right * leaves, y + down * leaves), foot]
        return element(
            "path",
            d=path_of(line) + path_of(head) + "z",
            fill=self.color,
            stroke=self.color,
        )


def _edge(words: Words, towards: Point) -> float:
    """How far the edge of its box is from the middle."""
    wide, high = words.half
    right, down = (abs(part) or 1e-9 for part in towards)
    return min(wide / right, high / down)


# Charts


class Axes:
    """One chart: what is drawn between its two axes.

    A place is given in the values of the axes. Colours are those of
    CSS; without one, each line takes the next of COLOURS.
    """

    def __init__(self, figure: "Figure", x: Axis) -> None:
        self.figure = figure
        self.title = ""
        self.x = x
        self.y = Axis()
        self.shown = True
        # From the back to the front.
        self._behind: list[Item] = []
        self._items: list[Item] = []
        self._words: list[Item] = []
        self._lines = 0

    def __repr__(self) -> str:
        return repr(self.figure)

    def _repr_mimebundle_(
        self, **_: object
    ) -> tuple[dict[str, str], dict[str, object]]:
        return self.figure._repr_mimebundle_()

    # Its form

    def set_title(self, title: str) -> None:
        self.title = title

    def set_xlabel(self, label: str) -> None:
        self.x.label = label

    def set_ylabel(self, label: str) -> None:
        self.y.label = label

    def set_xlim(self, first: float, last: float) -> None:
        self.x.limits = (first, last)

    def set_ylim(self, first: float, last: float) -> None:
        self.y.limits = (first, last)

    def set_xscale(self, scale: str) -> None:
        self.x.scale = scale

    def set_yscale(self, scale: str) -> None:
        self.y.scale = scale

    def set_xticks(
        self, values: Iterable[float], labels: Iterable[str] | None = None
    ) -> None:
        self.x.ticks = _ticks(values, labels)

    def set_yticks(
        self, values: Iterable[float], labels: Iterable[str] | None = None
    ) -> None:
        self.y.ticks = _ticks(values, labels)

    def set_axis_off(self) -> None:
        """Show neither the axes nor their ticks."""
        self.shown = False

    # Lines and marks

    def plot(
        self,
        x: Iterable[float],
        y: Iterable[float],
        form: str = "-",
        *,
        color: str = "",
        label: str = "",
        linewidth: float = 2.0,
    ) -> None:
        """A line through these points, or marks, or both.

        ``form`` is a mark of MARKS, followed by a line of DASHES.
        """
        points = list(zip(map(float, x), map(float, y), strict=True))
        mark = form[:1] if form[:1] in MARKS else ""
        linestyle = form.removeprefix(mark)
        self._see(points)

        color = color or self._next_color()
        if linestyle:
            self._items.append(Curve(points, color, DASHES[linestyle], linewidth))
        if mark:
            self._items.append(Marks(points, color, mark))
        if label:
            self.figure.explain(label, color, mark, linestyle)

    def step(
        self,
        x: Iterable[float],
        y: Iterable[float],
        *,
        where: str = "pre",
        color: str = "",
        label: str = "",
        linestyle: str = "-",
        linewidth: float = 2.0,
    ) -> None:
        """A line of steps: a value holds up to its x, or from there on.

        The first is so with "pre", the other with "post".
        """
        points = list(zip(map(float, x), map(float, y), strict=True))
        corners = points[:1]
        for (before_x, before_y), (next_x, next_y) in pairwise(points):
            if where == "pre":
                corners.append((before_x, next_y))
            else:
                corners.append((next_x, before_y))
            corners.append((next_x, next_y))

        x_of_all = [at for at, _ in corners]
        y_of_all = [level for _, level in corners]
        self.plot(
            x_of_all,
            y_of_all,
            linestyle,
            color=color,
            label=label,
            linewidth=linewidth,
        )

    def bar(
        self, start: float, end: float, row: float, *, color: str, height: float = 0.8
    ) -> None:
        """A bar that lies in this row, from ``start`` to ``end``."""
        rows = (row - height / 2, row + height / 2)
        self._see(zip((start, end), rows, strict=True))
        self._items.append(Box((start, end), rows, color, edge=GREY))

    def axvline(
        self,
        x: float,
        *,
        color: str = GREY,
        linestyle: str = "-",
        linewidth: float = 1.0,
    ) -> None:
        """A line from the bottom to the top, at ``x``."""
        self.x.values.append(x)
        self._items.append(Rule(x, None, color, DASHES[linestyle], linewidth))

    def axhline(
        self,
        y: float,
        *,
        color: str = GREY,
        linestyle: str = "-",
        linewidth: float = 1.0,
    ) -> None:
        """A line from the left to the right, at ``y``."""
        self.y.values.append(y)
        self._items.append(Rule(None, y, color, DASHES[linestyle], linewidth))

    def axvspan(
        self, start: float, end: float, *, color: str = GREY, alpha: float = 0.15
    ) -> None:
        """A shade behind all else, from ``start`` to ``end``."""
        self.x.values += [start, end]
        self._behind.append(Box((start, end), None, color, alpha=alpha))

    # Words

    def text(
        self,
        x: float,
        y: float,
        text: object,
        *,
        color: str = INK,
        ha: str = "left",
        va: str = "baseline",
        weight: str = "",
        offset: Point = (0.0, 0.0),
        box: str = "",
    ) -> Words:
        """A text at this place, moved by ``offset``: right, and up.

        The offset is in pixels. ``box`` is the colour of a box behind
        the text, whose place is then the middle of both.
        """
        if box:
            ha = "center"
            va = "center"
        words = Words((x, y), str(text), color, ha, va, weight, offset, box)
        self._words.append(words)
        return words

    def annotate(self, text: str, xy: Point, xytext: Point, color: str = INK) -> None:
        """A text around ``xytext``, and an arrow from it to ``xy``."""
        x, y = xytext
        words = self.text(x, y, text, color=color, ha="center", va="center")
        self._items.append(Arrow(words, xy, color))

    def arrow(self, start: Words, end: Words, *, color: str = INK) -> None:
        """From one text in a box to another."""
        self._items.append(Arrow(start, end, color))

    # As markup

    def ticks_at_left(self, height: float) -> dict[float, str]:
        return self.y.marks(height / 20) if self.shown else {}

    def svg(self, frame: Frame, last: bool) -> str:
        """All of it. Below the ``last`` one are the ticks' numbers."""
        drawn = "".join(item.svg(frame) for item in self._behind + self._items)
        words = "".join(item.svg(frame) for item in self._words)
        spines = self._spines(frame, last) if self.shown else ""
        return spines + _inside(frame, drawn) + words

    def _spines(self, frame: Frame, last: bool) -> str:
        """Two lines with ticks and numbers, and the label at left."""
        left = short(frame.left)
        bottom = short(frame.bottom)
        path = f"M{left} {short(frame.top)}V{bottom}H{short(frame.right)}"
        texts = ""
        for value, text in self.ticks_at_left(frame.bottom - frame.top).items():
            y = frame.down(value)
            path += f"M{left} {short(y)}h-{TICK}"
            x = frame.left - TICK - 4
            texts += element("text", text, x=x, y=y + 4.5, text_anchor="end")

        for value, text in self.x.fitting(frame.right - frame.left).items():
            x = frame.across(value)
            path += f"M{short(x)} {bottom}v{TICK}"
            if last:
                y = frame.bottom + 18
                texts += element("text", text, x=x, y=y, text_anchor="middle")

        middle = short((frame.top + frame.bottom) / 2)
        for number, line in enumerate(self.y.label.splitlines()):
            turned = f"translate({EDGE + 10 + LINE * number} {middle})rotate(-90)"
            texts += element("text", line, transform=turned, text_anchor="middle")
        return element("path", d=path, fill="none", stroke=GREY) + texts

    def _see(self, points: Iterable[Point]) -> None:
        for x, y in points:
            if not (math.isfinite(x) and math.isfinite(y)):
                raise ValueError(f"({x}, {y}) has no place in a picture")
            self.x.values.append(x)
            self.y.values.append(y)

    def _next_color(self) -> str:
        color = COLOURS[self._lines % len(COLOURS)]
        self._lines += 1
        return color


def _inside(frame: Frame, drawn: str) -> str:
    """It, as far as it is within the axes."""
    if not drawn:
        return ""
    x = short(frame.left - REACH)
    y = short(frame.top - REACH)
    width = short(frame.right - frame.left + 2 * REACH)
    height = short(frame.bottom - frame.top + 2 * REACH)
    view = f'viewBox="{x} {y} {width} {height}"'
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f"<svg {place} {view}>{drawn}</svg>"


def _ticks(values: Iterable[float], labels: Iterable[str] | None) -> dict[float, str]:
    values = list(values)
    if labels is None:
        labels = [number_of(value) for value in values]
    return dict(zip(values, map(str, labels), strict=True))


class Figure(Picture):
    """Charts one below the other, with one x axis.

    Above them are its title, and a key of what has a label.
    """

    def __init__(self, title: str, rows: int, height: float, alt: str) -> None:
        self.title = title
        self.alt = alt
        self.height = height  # without the key
        self.x = Axis()
        self.rows = [Axes(self, self.x) for _ in range(rows)]
        # Of each label, how it looks.
        self._key: dict[str, str] = {}

    def explain(self, label: str, color: str, mark: str, linestyle: str = "") -> None:
        """Name it in the key: a mark, a line, or without both a box."""
        parts = []
        if linestyle:
            line = {"d": "M0 0H20", "stroke": color, "stroke_width": 2}
            parts.append(element("path", **line, stroke_dasharray=DASHES[linestyle]))
        if mark:
            shape, width, cap = MARKS[mark]
            style = {"fill": color, "stroke": color, "stroke_width": width}
            at = f"M10 0{shape}"
            parts.append(element("path", d=at, **style, stroke_linecap=cap))
        if not parts:
            box = {"x": 3, "y": -6, "width": 14, "height": 12}
            parts.append(element("rect", **box, fill=color, stroke=GREY))
        self._key[label] = "".join(parts)

    def svg(self) -> str:
        """The file."""
        key, top = self._key_below(24.0)
        height = round(self.height * INCH + top - 24)

        below = LINE + 10
        if self.x.label:
            below += LINE
        if not any(axes.shown for axes in self.rows):
            below = EDGE
        bands = [30.0 if axes.title else 16.0 for axes in self.rows]
        room = (height - EDGE / 2 - top - sum(bands) - below) / len(self.rows)
        left = max(self._left_of(axes, room) for axes in self.rows)
        right = WIDTH - EDGE - self._right_of_ticks()

        across = self.x.placed(left, right)
        body = key
        for axes, band in zip(self.rows, bands, strict=True):
            if axes.title:
                body += element("text", axes.title, x=EDGE, y=top + 20, font_size=14)
            top += band
            bottom = top + room
            down = axes.y.placed(bottom, top)
            frame = Frame(left, right, top, bottom, across, down)
            body += axes.svg(frame, last=axes is self.rows[-1])
            top = bottom

        if self.x.label and self.rows[-1].shown:
            middle = (left + right) / 2
            at = {"x": middle, "y": float(height - EDGE), "text_anchor": "middle"}
            body += element("text", self.x.label, **at)
        return document(self.title, self.alt, height, body)

    def _key_below(self, top: float) -> tuple[str, float]:
        """The key, in lines that fit in, and where it ends."""
        if not self._key:
            return "", top
        markup = ""
        x = float(EDGE)
        y = top + 12
        for label, look in self._key.items():
            wide = 26 + width_of(label)
            if x + wide > WIDTH - EDGE:
                x = float(EDGE)
                y += LINE + 3
            words = element("text", label, x=26, y=4.5)
            place = f"translate({short(x)} {short(y)})"
            markup += f'<g transform="{place}">{look}{words}</g>'
            x += wide + 12
        return markup, y + 6

    def _left_of(self, axes: Axes, room: float) -> float:
        """The room for the numbers and the label of its y axis."""
        texts = axes.ticks_at_left(room).values()
        widest = max((width_of(text) for text in texts), default=0.0)
        lines = axes.y.label.count("\n") + 1 if axes.y.label else 0
        return EDGE + LINE * lines + widest + TICK + 6

    def _right_of_ticks(self) -> float:
        """Half the width of the last number of the x axis."""
        texts = list(self.x.fitting(WIDTH - 80).values())
        return width_of(texts[-1]) / 2 if texts else 0.0
