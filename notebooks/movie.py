"""Movie: an animated SVG without JavaScript, made of shapes that move.

Rule: each shape has a list of looks and the times at which it takes
them. Nothing is drawn by hand, and the same list is the same file. CSS
moves the shapes (SMIL could not be switched off). Where a reader has
asked for less motion, and in print, the picture of one moment stands
still; a pointer above it stops the clock.

``lab.movie`` puts scenes one below the other, on one clock.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from notebooks.pictures import Picture, document, element, legible, short
from taskmanager.testing import COLOURS

# Apart by lightness as well, so that they survive a print in grey.
COLOUR = {
    "queued": "#D9D9D9",
    "processing": "#E69F00",
    "completed": "#0072B2",
    "failed": "#8B1A1A",
    "cancelled": "#CC79A7",
}
_, AMBER, _, RED, PINK, SKY, _ = COLOURS
BLACK = "#333333"
LANE = "#F2F2F2"
# White words can be read on these, and black ones on all others.
DARK = {COLOUR["completed"], COLOUR["failed"]}

RIGHT = 620  # where clocks and strips end
PAUSE = 2.0  # seconds that the last picture stays, before it begins anew
LEAST = 0.01  # percent, from one keyframe to the next


@dataclass(frozen=True)
class Look:
    """Where a shape is, how far it is stretched, and its colour.

    It ``moves`` steadily to its next look, or else takes it at once.
    """

    x: float = 0.0
    y: float = 0.0
    wide: float = 1.0
    high: float = 1.0
    fill: str = ""
    seen: bool = True
    moves: bool = False

    def style(self) -> dict[str, str]:
        """As CSS, without whether it moves."""
        transform = f"translate({short(self.x)}px,{short(self.y)}px)"
        if (self.wide, self.high) != (1.0, 1.0):
            transform += f" scale({self.wide:.4g},{self.high:.4g})"

        style = {"transform": transform}
        if self.fill:
            style["fill"] = self.fill
            style["color"] = "#FFF" if self.fill in DARK else "#222"
        style["visibility"] = "visible" if self.seen else "hidden"
        return style


Looks = Sequence[tuple[float, Look]]  # each with its time


def at(looks: Looks, time: float) -> Look:
    """The look of a shape at this time."""
    (start, look), *later = looks
    for next_start, following in later:
        if time < next_start:
            if look.moves and time > start:
                share = (time - start) / (next_start - start)
                look = _between(look, following, share)
            break
        start = next_start
        look = following
    return look


def _between(look: Look, following: Look, share: float) -> Look:
    return replace(
        look,
        x=look.x + share * (following.x - look.x),
        y=look.y + share * (following.y - look.y),
        wide=look.wide + share * (following.wide - look.wide),
        high=look.high + share * (following.high - look.high),
    )


@dataclass(repr=False)
class Movie(Picture):
    """Shapes on one clock, ``speed`` times as fast as it was.

    ``alt`` says in words what is to be seen. Where nothing may move,
    the picture stands at the moment ``still``.
    """

    title: str
    height: int
    begin: float  # seconds of the clock
    end: float
    alt: str
    still: float
    speed: float
    left: float  # where the clock begins, in pixels
    _parts: list[str] = field(default_factory=list)
    # Of each class, by its name: its style, and its keyframes.
    _rules: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it runs before it begins anew."""
        return (self.end - self.begin) / self.speed + PAUSE

    def x(self, time: float) -> float:
        """Where on the clock this time is."""
        share = (time - self.begin) / (self.end - self.begin)
        return self.left + share * (RIGHT - self.left)

    def draw(self, markup: str) -> None:
        """What does not move."""
        self._parts.append(markup)

    def text(
        self, x: float, y: float, text: str, anchor: str = "", colour: str = ""
    ) -> None:
        """Words that do not move."""
        self.draw(
            element("text", text, x=x, y=y, text_anchor=anchor, fill=legible(colour)),
        )

    def lane(self, x: float, y: float, width: float, height: float) -> None:
        """An empty box that does not move."""
        size = {"x": x, "y": y, "width": width, "height": height}
        self.draw(element("rect", **size, fill=LANE, stroke="#CCC"))

    def shape(self, markup: str, looks: Looks) -> None:
        """One that moves. It is not seen before its first look."""
        self._parts.append(f'<g class="{self._name(looks)}">{markup}</g>')

    def box(self, label: str, looks: Looks, size: float) -> None:
        """A square with a label."""
        box = element("rect", width=size, height=size, rx=3, stroke="#555")
        words = element("text", label, x=size / 2, y=size / 2 + 4.5)
        self.shape(box + words, looks)

    def future(self, y: float, height: float) -> None:
        """Hide what has not happened yet, right of the clock's hand."""
        width = RIGHT - self.left + 20
        self.shape(
            f'<rect width="{short(width)}" height="{short(height)}" fill="#FFF"/>',
            [
                (self.begin, Look(self.left, y, moves=True)),
                (self.end, Look(RIGHT, y, wide=20 / width)),
            ],
        )

    def clock(self, y: float) -> None:
        """A line with marks, and a hand."""
        every = _step(self.end - self.begin)
        marks = []
        time = every * -(-self.begin // every)
        while time <= self.end:
            marks.append(f"M{short(self.x(time))} {y:g}v5")
            unit = " s" if time + every > self.end else ""
            # Adding zero makes -0.0 a plain zero.
            self.text(self.x(time), y + 19, f"{time + 0:g}{unit}", "middle")
            time += every

        line = f"M{short(self.left)} {y:g}H{RIGHT}"
        self.draw(f'<path d="{line}{"".join(marks)}" stroke="#999"/>')
        self.shape(
            f'<path d="M0 0l-5 -9h10z" fill="{BLACK}"/>',
            [
                (self.begin, Look(self.left, y, moves=True)),
                (self.end, Look(RIGHT, y)),
            ],
        )

    def svg(self) -> str:
        """The file."""
        body = "".join(self._parts)
        rules = "".join(
            f".{name}{{{still};animation-name:{name}}}@keyframes {name}{{{frames}}}"
            for name, (still, frames) in self._rules.items()
        )
        # Inlined in one page, two movies must not share names.
        prefix = "m" + hashlib.sha256((body + rules).encode()).hexdigest()[:6]
        body = body.replace("PREFIX", prefix)
        rules = rules.replace("PREFIX", prefix)

        every = f'[class^="{prefix}"]'
        style = (
            f"{every}{{animation:{self.seconds:g}s step-end infinite}}"
            f"{every} text{{fill:currentColor;text-anchor:middle}}{rules}"
            f"svg:hover {every}{{animation-play-state:paused}}"
            f"@media print{{{every}{{animation:none!important}}}}"
            "@media (prefers-reduced-motion:reduce)"
            f"{{{every}{{animation:none!important}}}}"
        )
        return document(self.title, self.alt, self.height, body, style)

    def _name(self, looks: Looks) -> str:
        """Note how these looks are told; the name of that.

        Shapes that move alike share one.
        """
        start, first = looks[0]
        if start > self.begin:
            unseen = replace(first, seen=False, moves=False)
            looks = [(self.begin, unseen), *looks]

        steadily = all(look.moves for _, look in looks[:-1])
        style = at(looks, self.still).style()
        if steadily:
            style["animation-timing-function"] = "linear"
        rule = (_css(style), self._keyframes(looks, steadily))
        for name, known in self._rules.items():
            if known == rule:
                return name

        name = f"PREFIX{len(self._rules)}"
        self._rules[name] = rule
        return name

    def _keyframes(self, looks: Looks, steadily: bool) -> str:
        """In each, only what has changed, or moves."""
        frames = []
        before: dict[str, str] = {}
        arrives = False
        for percent, look in self._in_percent(looks):
            style = look.style()
            fixed = look.moves or arrives
            said = {
                name: value
                for name, value in style.items()
                if before.get(name) != value or (fixed and name != "visibility")
            }
            if look.moves and not steadily:
                said["animation-timing-function"] = "linear"
            if said:
                frames.append((f"{percent:.2f}%", _css(said)))
            before = style
            arrives = look.moves

        last, said_last = frames[-1]
        frames[-1] = (f"{last},100%", said_last)
        return "".join(f"{percent}{{{said}}}" for percent, said in frames)

    def _in_percent(self, looks: Looks) -> list[tuple[float, Look]]:
        """Where each look begins, no two of them at one place."""
        found: list[tuple[float, Look]] = []
        for time, look in looks:
            percent = round(100 * (time - self.begin) / self.speed / self.seconds, 2)
            if found:
                last, _ = found[-1]
                percent = max(percent, last + LEAST)
            found.append((percent, look))
        return found


class Scene(Protocol):
    """A part of a movie, made from what was recorded."""

    @property
    def left(self) -> float:
        """Where its clock begins, in pixels."""

    @property
    def height(self) -> float:
        """In pixels."""

    @property
    def span(self) -> tuple[float, float]:
        """When it begins and ends."""

    def draw(self, movie: Movie, name: str, top: float) -> None:
        """Add it to the movie."""


def movie_of(
    title: str,
    scenes: Mapping[str, Scene],
    *,
    alt: str,
    still: float | None = None,
    speed: float = 4.0,
) -> Movie:
    """One scene below the other, on one clock.

    Without ``still``, the picture that stands still is the last one.
    """
    begin = min(scene.span[0] for scene in scenes.values())
    end = max(scene.span[1] for scene in scenes.values())
    height = sum(scene.height for scene in scenes.values())
    left = max(scene.left for scene in scenes.values())
    if still is None:
        still = end

    movie = Movie(title, round(height) + 76, begin, end, alt, still, speed, left)
    top = 34.0
    for name, scene in scenes.items():
        scene.draw(movie, name, top)
        top += scene.height
    movie.clock(top + 14)
    return movie


# Numbers


def _css(style: Mapping[str, str]) -> str:
    return ";".join(f"{name}:{value}" for name, value in style.items())


def _step(seconds: float) -> float:
    """From one mark of a clock to the next: ten or fewer fit in."""
    steps: Iterable[float] = (0.5, 1, 2, 5, 10, 20, 50)
    return next((step for step in steps if seconds / step <= 14), 100)
