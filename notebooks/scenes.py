"""Scenes of a movie: what was recorded, as shapes that move.

Rule: each is made of what a run has recorded, and knows where it stands
at any time. ``lab.movie`` shows them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from notebooks.movie import (
    AMBER,
    BLACK,
    COLOUR,
    PINK,
    RED,
    RIGHT,
    SKY,
    Look,
    Movie,
)
from notebooks.pictures import short

# Queue and workers

# Pixels: a box, from one to the next, and where things are.
BOX = 22
ROW = 26
QUEUE_END = 246
A_LINE = 9
LANES = 282
LANE_WIDTH = 200
DONE = 512
A_DONE_LINE = 4


class Run(Protocol):
    """A worker had this task from ``start`` to ``end``, in seconds."""

    @property
    def number(self) -> int: ...
    @property
    def worker(self) -> int: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


class Span(Protocol):
    """A task was in ``status`` from ``start`` to ``end``."""

    @property
    def task_id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def worker(self) -> int | None: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


class Worked(NamedTuple):
    """Such a run."""

    number: int
    worker: int
    start: float
    end: float


@dataclass(frozen=True)
class Queue:
    """From the queue to a worker, and out: each task is a box.

    It came at 0, or when ``came`` says by its number. ``refused`` has
    the times at which it was turned away before that; until it comes
    again it waits outside. ``slots`` is the room in the queue.
    """

    runs: Sequence[Run]
    came: Mapping[int, float] = field(default_factory=dict)
    refused: Mapping[int, Sequence[float]] = field(default_factory=dict)
    slots: int = 0
    left: float = 20.0

    @classmethod
    def of(
        cls,
        spans: Iterable[Span],
        since: float,
        numbers: Mapping[str, int] | None = None,
        refused: Mapping[int, Sequence[float]] | None = None,
        slots: int = 0,
    ) -> "Queue":
        """What a Trace has recorded, as of ``since``.

        A task has the number of its order. With ``numbers``, only those
        whose ids are in it are shown, with the number that it gives.
        """
        runs = []
        came = {}
        for span in spans:
            number = span.number
            if numbers is not None:
                number = numbers.get(span.task_id, 0)
            if not number:
                continue

            start = span.start - since
            if span.status == "queued":
                came[number] = start
            elif span.worker:
                runs.append(Worked(number, span.worker, start, span.end - since))

        turned_away = {
            number: [time - since for time in times]
            for number, times in (refused or {}).items()
            if times
        }
        return cls(runs, came, turned_away, slots)

    @property
    def span(self) -> tuple[float, float]:
        return 0.0, max(run.end for run in self.runs)

    @property
    def lines(self) -> int:
        """Of the queue and of what waits outside."""
        longest = max(len(self._waiting(run.start)) + 1 for run in self.runs)
        outside = 2 if self.refused else 0
        return -(-max(longest, self.slots) // A_LINE) + outside

    @property
    def workers(self) -> int:
        return max(run.worker for run in self.runs)

    @property
    def height(self) -> float:
        done = -(-len(self.runs) // A_DONE_LINE)
        return 30 + ROW * max(self.lines, self.workers, done)

    def draw(self, movie: Movie, name: str, top: float) -> None:
        movie.text(10, top + 12, name)
        movie.text(QUEUE_END, top + 12, "queue", "end")
        movie.text(LANES, top + 12, "workers" if self.workers > 1 else "worker")
        movie.text(DONE, top + 12, "done")
        top += 20
        for worker in range(self.workers):
            movie.lane(LANES, top + ROW * worker, LANE_WIDTH, BOX)
        for slot in range(self.slots):
            movie.lane(*_cell(QUEUE_END - BOX, top, -ROW, slot, A_LINE), BOX, BOX)
        if self.refused:
            movie.text(QUEUE_END, top + ROW * self.lines - ROW - 7, "refused", "end")

        finished = sorted(self.runs, key=lambda run: (run.end, run.number))
        for run in self.runs:
            looks = self._outside(run, top) + self._queued(run, top)
            lane = top + ROW * (run.worker - 1)
            working = Look(LANES, lane, fill=COLOUR["processing"], moves=True)
            looks.append((run.start, working))

            arrived = replace(working, x=LANES + LANE_WIDTH - BOX, moves=False)
            looks.append((run.end - 0.001, arrived))

            x, y = _cell(DONE, top, ROW, finished.index(run), A_DONE_LINE)
            looks.append((run.end, Look(x, y, fill=COLOUR["completed"])))
            movie.box(str(run.number), looks, BOX)

    def _came(self, run: Run) -> float:
        return self.came.get(run.number, 0.0)

    def _waiting(self, time: float) -> list[Run]:
        """Those in the queue at this time, the next one first.

        Who goes first, of those that are there, has the better place.
        """
        waiting = [run for run in self.runs if self._came(run) <= time < run.start]
        return sorted(waiting, key=lambda run: (run.start, run.number))

    def _queued(self, run: Run, top: float) -> list[tuple[float, Look]]:
        """Each place that it has in the queue, and from when on."""
        times = {each.start for each in self.runs} | set(map(self._came, self.runs))
        looks: list[tuple[float, Look]] = []
        for time in sorted(times):
            waiting = self._waiting(time)
            if run not in waiting:
                continue
            place = waiting.index(run)
            x, y = _cell(QUEUE_END - BOX, top, -ROW, place, A_LINE)
            look = Look(x, y, fill=COLOUR["queued"])
            if not looks or looks[-1][1] != look:
                looks.append((time, look))
        return looks

    def _outside(self, run: Run, top: float) -> list[tuple[float, Look]]:
        """The same, of the row of those that were turned away."""
        times = {time for each in self.refused.values() for time in each}
        times |= set(map(self._came, self.runs))
        y = top + ROW * (self.lines - 1)
        looks: list[tuple[float, Look]] = []
        for time in sorted(times):
            outside = [
                number
                for number, refusals in self.refused.items()
                if refusals and refusals[0] <= time < self.came.get(number, 0.0)
            ]
            if run.number in outside:
                x = QUEUE_END - BOX - ROW * outside.index(run.number)
                look = Look(x, y, fill=RED)
                if not looks or looks[-1][1] != look:
                    looks.append((time, look))
        return looks


def _cell(
    x: float, y: float, step: float, number: int, in_a_line: int
) -> tuple[float, float]:
    """The place of this one, of many that stand in lines."""
    line, column = divmod(number, in_a_line)
    return x + step * column, y + ROW * line


# Client and server


@dataclass(frozen=True)
class Message:
    """What went from one lifeline to the other, in seconds."""

    sent: float
    arrived: float
    words: str
    to_server: bool
    lost: bool = False


# Pixels, below the top of a scene.
CLIENT = 44
SERVER = 118
TASKS = 142


@dataclass(frozen=True)
class Lifelines:
    """A client above, a server below, and what goes between them.

    Below the server are its tasks. Times count from ``since``.
    """

    messages: Sequence[Message]
    spans: Sequence[Span] = ()
    since: float = 0.0
    left: float = 70.0

    @property
    def span(self) -> tuple[float, float]:
        ends = [message.arrived for message in self.messages]
        ends += [span.end for span in self.spans]
        return 0.0, max(ends) - self.since + 0.5

    @property
    def height(self) -> float:
        tasks = {span.number for span in self.spans}
        return TASKS + ROW * len(tasks) + 6

    def draw(self, movie: Movie, name: str, top: float) -> None:
        movie.text(10, top + 14, name)
        for words, below in (("client", CLIENT), ("server", SERVER)):
            y = top + below
            movie.text(10, y + 4, words)
            line = f"M{short(self.left)} {short(y)}H{RIGHT}"
            movie.draw(f'<path d="{line}" stroke="#999"/>')

        for message in self.messages:
            self._line(movie, message, top)
        self._held(movie, top)
        numbers = sorted({span.number for span in self.spans})
        for row, number in enumerate(numbers):
            y = top + TASKS + ROW * row
            movie.text(10, y + 15, f"task {row + 1}")
            for span in self.spans:
                if span.number == number and span.end > span.start:
                    self._bar(movie, span, y)

        movie.future(top + 22, self.height - 22)
        for message in self.messages:
            self._dot(movie, message, top)

    def _dot(self, movie: Movie, message: Message, top: float) -> None:
        """The message itself, on its way."""
        x, y, to_x, to_y = self._way(movie, message, top)
        movie.shape(
            f'<circle r="5" fill="{_colour(message)}"/>',
            [
                (message.sent - self.since, Look(x, y, moves=True)),
                (message.arrived - self.since - 0.001, Look(to_x, to_y)),
                (message.arrived - self.since, Look(to_x, to_y, seen=False)),
            ],
        )

    def _line(self, movie: Movie, message: Message, top: float) -> None:
        """The way of the message, which stays."""
        x, y, to_x, to_y = self._way(movie, message, top)
        colour = _colour(message)
        movie.draw(
            f'<path d="M{short(x)} {short(y)}L{short(to_x)} {short(to_y)}" '
            f'stroke="{colour}" stroke-width="1.5"/>'
        )
        if message.lost:
            cross = f"M{short(to_x - 6)} {short(to_y - 6)}l12 12m0 -12l-12 12"
            movie.draw(f'<path d="{cross}" stroke="{RED}" stroke-width="3"/>')

        baseline = CLIENT - 7 if message.to_server else SERVER + 16
        if message.words:
            movie.text(x - 2, top + baseline, message.words, colour=colour)

    def _held(self, movie: Movie, top: float) -> None:
        """Where the server has held a question for a while."""
        for request, replies in self._exchanges():
            # Of a stream, the last piece is the end of the reply.
            reply = replies[-1]
            if reply.sent > request.arrived:
                x = movie.x(request.arrived - self.since)
                to_x = movie.x(reply.sent - self.since)
                line = f"M{short(x)} {short(top + SERVER)}H{short(to_x)}"
                movie.draw(f'<path d="{line}" stroke="{BLACK}" stroke-width="5"/>')
                middle = (x + to_x) / 2
                if len(replies) == 1:
                    movie.text(middle, top + SERVER - 9, "question held", "middle")
                else:
                    # Above, its pieces are on their way.
                    below = top + SERVER + 16
                    movie.text(middle, below, "one answer, in pieces", "middle")

    def _exchanges(self) -> list[tuple[Message, list[Message]]]:
        """Each request that has an answer, with all pieces of that."""
        exchanges: list[tuple[Message, list[Message]]] = []
        for message in self.messages:
            if message.to_server:
                exchanges.append((message, []))
            else:
                _, replies = exchanges[-1]
                replies.append(message)
        return [(request, replies) for request, replies in exchanges if replies]

    def _way(
        self, movie: Movie, message: Message, top: float
    ) -> tuple[float, float, float, float]:
        """Where it is sent, and where it arrives or gets lost."""
        x = movie.x(message.sent - self.since)
        to_x = movie.x(message.arrived - self.since)
        y = top + CLIENT
        to_y = top + SERVER
        if not message.to_server:
            y, to_y = to_y, y
        if message.lost:
            to_x = (x + to_x) / 2
            to_y = (y + to_y) / 2
        return x, y, to_x, to_y

    def _bar(self, movie: Movie, span: Span, y: float) -> None:
        start = movie.x(span.start - self.since)
        end = movie.x(span.end - self.since)
        movie.draw(
            f'<rect x="{short(start)}" y="{short(y)}" '
            f'width="{short(end - start)}" height="{BOX}" '
            f'fill="{COLOUR[span.status]}" stroke="#555"/>'
        )
        movie.text((start + end) / 2, y + 16, span.status, "middle")


def _colour(message: Message) -> str:
    return RED if message.lost else BLACK


# Limiters

# Pixels: the strip, and the meter left of it.
STRIP = 46
METER = 96
METER_WIDTH = 34


@dataclass(frozen=True)
class Limiter:
    """What a limiter lets through, and how full it is.

    ``hits`` are the times of the requests, and whether each was
    accepted. ``level`` is what it has counted after each of them, of
    ``full`` at most; a bucket ``fills`` meanwhile. Where it has a
    ``window``, in seconds, that slides, unless it is ``fixed``.
    """

    hits: Sequence[tuple[float, bool]]
    level: Sequence[tuple[float, float]]
    full: float
    words: str
    colour: str
    window: float = 0.0
    fixed: bool = False
    fills: bool = False
    left: float = 150.0
    height: float = 78.0

    @property
    def span(self) -> tuple[float, float]:
        times = [time for time, _ in self.hits]
        return min(times), max(times)

    def draw(self, movie: Movie, name: str, top: float) -> None:
        movie.text(10, top + 12, name)
        movie.text(10, top + 44, self.words)
        top += 20
        self._meter(movie, top)
        movie.lane(self.left, top, RIGHT - self.left, STRIP)
        if self.window:
            self._window(movie, top)

        accepted = "".join(
            f"M{short(movie.x(time))} {short(top + 8)}v{STRIP - 16}"
            for time, allowed in self.hits
            if allowed
        )
        refused = "".join(
            f"M{short(movie.x(time))} {short(top + STRIP / 2)}h.1"
            for time, allowed in self.hits
            if not allowed
        )
        movie.draw(f'<path d="{accepted}" stroke="{self.colour}" stroke-width="3"/>')
        movie.draw(
            f'<path d="{refused}" stroke="#888" stroke-width="3" '
            'stroke-linecap="round"/>'
        )
        movie.future(top - 1, STRIP + 2)

    def _meter(self, movie: Movie, top: float) -> None:
        movie.lane(METER, top, METER_WIDTH, STRIP)
        looks: list[tuple[float, Look]] = []
        for time, level in _bends(self.level, self.fills):
            high = level / self.full
            y = top + STRIP * (1 - high)
            looks.append((time, Look(METER, y, high=high, moves=self.fills)))
        movie.shape(
            f'<rect width="{METER_WIDTH}" height="{STRIP}" fill="{self.colour}"/>',
            looks,
        )

    def _window(self, movie: Movie, top: float) -> None:
        """It is cut off where the strip begins and ends."""
        begin, end = self.span
        if self.fixed:
            first = begin // self.window * self.window
            starts = [(begin, first)]
            while first + self.window <= end:
                first += self.window
                starts.append((first, first))
        else:
            starts = [(begin, begin - self.window), (end, end - self.window)]

        looks = [
            (time, Look(movie.x(start) - self.left, moves=not self.fixed))
            for time, start in starts
        ]
        width = movie.x(self.window) - movie.x(0)
        strip = RIGHT - self.left
        movie.draw(
            f'<svg x="{short(self.left)}" y="{short(top)}" '
            f'width="{short(strip)}" height="{STRIP}">'
        )
        movie.shape(
            f'<rect width="{short(width)}" height="{STRIP}" fill="{SKY}" '
            'opacity=".4"/>',
            looks,
        )
        movie.draw("</svg>")


def _bends(
    points: Sequence[tuple[float, float]], steadily: bool
) -> list[tuple[float, float]]:
    """The points without those that change nothing."""
    first, *others, end = points
    kept = [first]
    for point, (next_time, following) in zip(others, [*others[1:], end], strict=True):
        time, value = point
        last_time, last = kept[-1]
        expected = last
        if steadily:
            share = (time - last_time) / (next_time - last_time)
            expected = last + share * (following - last)
        if abs(value - expected) > 1e-6:
            kept.append(point)
    return [*kept, end]


# A server that is stopped


class Poll(Protocol):
    """A long poll: seconds since the signal, and what it was told."""

    @property
    def begun(self) -> float: ...
    @property
    def over(self) -> float: ...
    @property
    def said(self) -> str: ...


POLL = 13  # pixels, from one to the next
# The sign and the colour of what polls are told.
SAID = {
    "processing": ('<circle r="4"{}/>', AMBER),
    "an error": ('<path d="M-4 -4l8 8m0 -8l-8 8"{}/>', RED),
    "cancelled": ('<rect x="-3.5" y="-3.5" width="7" height="7"{}/>', PINK),
}


@dataclass(frozen=True)
class Stopped:
    """Polls that are open when a server is stopped, at 0.

    The process was ``gone`` so many seconds later.
    """

    polls: Sequence[Poll]
    gone: float
    left: float = 20.0

    @property
    def span(self) -> tuple[float, float]:
        return min(poll.begun for poll in self.polls), self.gone + 0.8

    @property
    def height(self) -> float:
        return 26 + POLL * len(self.polls)

    def draw(self, movie: Movie, name: str, top: float) -> None:
        movie.text(10, top + 10, name)
        top += 22
        bottom = top + POLL * len(self.polls) - 5
        signal = f"M{short(movie.x(0))} {short(top - 16)}V{short(bottom)}"
        movie.draw(f'<path d="{signal}" stroke="{BLACK}" stroke-dasharray="2 3"/>')
        movie.text(movie.x(0) + 4, top - 8, "SIGTERM")

        lines = []
        for row, poll in enumerate(self.polls):
            y = short(top + POLL * row)
            lines.append(f"M{short(movie.x(poll.begun))} {y}H{movie.x(poll.over):.1f}")
        movie.draw(f'<path d="{"".join(lines)}" stroke="#AAA" stroke-width="4"/>')

        end = f"M{short(movie.x(self.gone))} {short(top - 6)}V{short(bottom)}"
        movie.draw(f'<path d="{end}" stroke="{BLACK}" stroke-width="2"/>')
        for row, poll in enumerate(self.polls):
            sign, colour = SAID[poll.said]
            looks = f' fill="{colour}" stroke="{colour}" stroke-width="2"'
            place = f"{short(movie.x(poll.over))} {short(top + POLL * row)}"
            movie.draw(f'<g transform="translate({place})">{sign.format(looks)}</g>')

        beside = movie.x(self.gone) + 12
        words = dict.fromkeys(poll.said for poll in self.polls)
        movie.text(beside, top + 10, f"told: {', '.join(words)}")
        movie.text(beside, top + 28, f"gone after {self.gone:g} s")
        movie.future(top - 7, bottom - top + 14)
