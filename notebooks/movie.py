"""Movie: an animated SVG without JavaScript, made of boxes that move.

Rule: each box has a list of places and the times at which it comes
there; nothing is drawn by hand, and the same list is the same file.
CSS moves the boxes (SMIL could not be switched off). Where a reader has
asked for less motion, and in print, the picture of one moment stands
still.
"""

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

BLACK = "#333333"
LANE = "#F2F2F2"
# So that words can be read on any colour.
HALO = 'stroke="#FFF" stroke-width="2.5" paint-order="stroke"'
AT_ONCE = 0.02  # seconds
PAUSE = 1.5  # seconds that the last picture stays, before it begins anew


@dataclass(frozen=True)
class Place:
    """Where a box is from ``time`` on, in pixels, and how it looks."""

    time: float
    x: float
    y: float
    colour: str


@dataclass
class Movie:
    """Boxes on one clock, ``speed`` times as fast as it was.

    ``alt`` says in words what is to be seen. Where nothing may move,
    the picture stands at the moment ``still``.
    """

    title: str
    width: int
    height: int
    end: float  # seconds of the clock
    alt: str
    still: float
    speed: float = 4.0
    _parts: list[str] = field(default_factory=list)
    _rules: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it runs before it begins anew."""
        return self.end / self.speed + PAUSE

    def text(self, x: float, y: float, text: str, anchor: str = "start") -> None:
        """Words that do not move."""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">'
            f"{html.escape(text, quote=False)}</text>"
        )

    def lane(self, x: float, y: float, width: float, height: float) -> None:
        """An empty box that does not move."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'fill="{LANE}" stroke="#CCC"/>'
        )

    def box(
        self, label: str, places: Sequence[Place], width: float, height: float
    ) -> None:
        """A box that jumps from place to place, from the first on."""
        unseen = "{visibility:hidden}"
        still = unseen
        frames = []
        for place in places:
            looks = (
                f"{{transform:translate({place.x:g}px,{place.y:g}px);"
                f"fill:{place.colour};visibility:visible}}"
            )
            frames.append((place.time, looks))
            if place.time <= self.still:
                still = looks

        name = self._animate(frames, unseen, still, "step-end")
        middle = f'x="{width / 2:g}" y="{height / 2 + 4:g}" text-anchor="middle"'
        self._parts.append(
            f'<g class="{name}"><rect width="{width:g}" height="{height:g}" rx="3" '
            f'stroke="#555" stroke-width=".6"/><text {middle} fill="{BLACK}" '
            f"{HALO}>{html.escape(label, quote=False)}</text></g>"
        )

    def bar(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        span: tuple[float, float],
        colour: str,
    ) -> None:
        """A bar that fills from the start of ``span`` to its end.

        Then it is gone.
        """
        start, end = span
        place = f"{{transform:translate({x:g}px,{y:g}px) scaleX"
        empty = f"{place}(0)}}"
        # Of no width, it is not seen.
        frames = [
            (start, empty),
            (end, f"{place}(1)}}"),
            (end + AT_ONCE, empty),
        ]
        full = 0.0
        if start <= self.still < end:
            full = (self.still - start) / (end - start)
        still = f"{place}({full:.2f})}}"
        name = self._animate(frames, empty, still, "linear")
        self._parts.append(
            f'<rect class="{name}" width="{width:g}" height="{height:g}" '
            f'fill="{colour}" opacity=".55"/>'
        )

    def clock(self, x: float, y: float, width: float, every: float) -> None:
        """A line with a mark every so many seconds, and a hand."""
        self._parts.append(f'<path d="M{x:g} {y:g}h{width:g}" stroke="#999"/>')
        mark = 0.0
        while mark <= self.end:
            at = x + width * mark / self.end
            self._parts.append(f'<path d="M{at:.1f} {y:g}v5" stroke="#999"/>')
            unit = " s" if mark + every > self.end else ""
            self.text(round(at, 1), y + 18, f"{mark:g}{unit}", "middle")
            mark += every

        begin, still, end = (
            f"{{transform:translate({x + width * time / self.end:.1f}px,{y:g}px)}}"
            for time in (0.0, self.still, self.end)
        )
        frames = [(0.0, begin), (self.end, end)]
        name = self._animate(frames, begin, still, "linear")
        self._parts.append(
            f'<path class="{name}" d="M0 0l-5 -9h10z" fill="{BLACK}" stroke="none"/>'
        )

    def _repr_mimebundle_(
        self, **_: object
    ) -> tuple[dict[str, str], dict[str, object]]:
        """What Jupyter shows."""
        return {"image/svg+xml": self.svg()}, {"image/svg+xml": {"alt": self.alt}}

    def svg(self) -> str:
        """The file."""
        body = "".join(self._parts)
        rules = "".join(self._rules)
        # Inlined in one page, two movies must not share names.
        name = "m" + hashlib.sha256((body + rules).encode()).hexdigest()[:6]
        body = body.replace('class="', f'class="{name}')
        rules = rules.replace("@keyframes ", f"@keyframes {name}")
        rules = rules.replace("animation-name:", f"animation-name:{name}")
        rules = rules.replace(".a", f".{name}a")
        words = html.escape(self.alt, quote=False)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" font-family="sans-serif" font-size="12">'
            f"<title>{html.escape(self.title, quote=False)}</title>"
            f"<desc>{words}</desc><style>{rules}"
            f'[class^="{name}"]{{animation-duration:{self.seconds:g}s;'
            "animation-iteration-count:infinite}"
            "@media (prefers-reduced-motion:reduce){"
            f'[class^="{name}"]{{animation-name:none!important}}}}'
            f'@media print{{[class^="{name}"]{{animation-name:none!important}}}}'
            f'</style><rect width="100%" height="100%" fill="#FFF"/>'
            f'<text x="10" y="20" font-size="14">'
            f"{html.escape(self.title, quote=False)}</text>{body}</svg>"
        )

    def _animate(
        self, frames: Sequence[tuple[float, str]], before: str, still: str, timing: str
    ) -> str:
        """Note the rules of what moves; its name."""
        name = f"a{len(self._rules)}"
        _, last = frames[-1]
        steps = [f"0%{before}"]
        steps += [f"{self._percent(time)}{looks}" for time, looks in frames]
        steps.append(f"100%{last}")
        self._rules.append(
            f".{name}{still[:-1]};animation-name:{name};"
            f"animation-timing-function:{timing}}}"
            f"@keyframes {name}{{{''.join(steps)}}}"
        )
        return name

    def _percent(self, time: float) -> str:
        return f"{100 * time / self.speed / self.seconds:.2f}%"


class Run(Protocol):
    """A task that a worker had from ``start`` to ``end``, in seconds.

    It was submitted at 0.
    """

    @property
    def number(self) -> int: ...
    @property
    def worker(self) -> int: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


# Pixels: a box, from one row to the next, and the left edges.
BOX = 22
ROW = 28
QUEUE_END = 250
LANES = 290
LANE_WIDTH = 200
DONE = 520


def queue_and_workers(
    title: str,
    scenes: Mapping[str, Sequence[Run]],
    workers: int,
    colours: Mapping[str, str],
    *,
    alt: str,
    still: float,
    speed: float = 4.0,
) -> Movie:
    """From the queue to a worker, and out: each task is a box.

    One scene below the other, on one clock; ``colours`` has those of
    queued, processing and completed.
    """
    end = max(run.end for runs in scenes.values() for run in runs)
    height = 50 + ROW * workers
    bottom = 30 + height * len(scenes)
    movie = Movie(title, 640, bottom + 40, end, alt, still, speed)
    for place, (name, runs) in enumerate(scenes.items()):
        _scene(movie, name, runs, workers, colours, 46 + height * place)

    movie.clock(20, bottom + 12, 600, every=5)
    return movie


def _scene(
    movie: Movie,
    name: str,
    runs: Sequence[Run],
    workers: int,
    colours: Mapping[str, str],
    top: float,
) -> None:
    movie.text(10, top + 8, name)
    movie.text(QUEUE_END, top + 8, "queue", "end")
    movie.text(LANES, top + 8, "workers")
    movie.text(DONE, top + 8, "done")

    top += 16
    for worker in range(workers):
        movie.lane(LANES, top + ROW * worker, LANE_WIDTH, BOX)
    for run in runs:
        lane = top + ROW * (run.worker - 1)
        span = (run.start, run.end)
        movie.bar(LANES, lane, LANE_WIDTH, BOX, span, colours["processing"])

    finished = sorted(runs, key=lambda run: (run.end, run.number))
    for run in runs:
        places = []
        for time, ahead in _queue_positions(run, runs):
            line, column = divmod(ahead, 8)
            x = QUEUE_END - BOX - ROW * column
            places.append(Place(time, x, top + ROW * line, colours["queued"]))

        lane = top + ROW * (run.worker - 1)
        places.append(Place(run.start, LANES, lane, colours["processing"]))

        line, column = divmod(finished.index(run), 4)
        x = DONE + ROW * column
        places.append(Place(run.end, x, top + ROW * line, colours["completed"]))
        movie.box(str(run.number), places, BOX, BOX)


def _queue_positions(run: Run, runs: Sequence[Run]) -> list[tuple[float, int]]:
    """How many are ahead of a task that waits.

    Each time at which that changes, and the number from then on.
    """
    key = (run.start, run.number)
    ahead = [other.start for other in runs if (other.start, other.number) < key]
    times = sorted({0.0, *ahead})
    return [
        (time, sum(start > time for start in ahead))
        for time in times
        if time < run.start
    ]
