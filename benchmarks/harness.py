"""How a figure is made: warm-up, interleaved rounds, medians, ratios.

Rules: only figures of one run are compared, round by round, since these
machines change their speed from minute to minute. Whatever is measured
is checked as well: a fast wrong answer is a failure, not a result.
"""

import asyncio
import contextlib
import gc
import importlib
import math
import os
import statistics
import sys
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeVar

Size = Literal["quick", "default", "full"]
# Measures once, and gives one figure.
Sample = Callable[[], Awaitable[float]]
T = TypeVar("T")

ROUNDS = {"quick": 1, "default": 5, "full": 15}
PERCENTILES = (50, 90, 99)
HOW_TO_GET = "pip install -r benchmarks/requirements.txt"


class CheckFailedError(AssertionError):
    """What was measured did not do what it should.

    Its figures mean nothing.
    """


class Spread(NamedTuple):
    """The quartiles of a ratio over the rounds."""

    low: float
    high: float

    def __str__(self) -> str:
        # Of the reference beside itself, or of a single round.
        if self.low == self.high:
            return ""

        text = f"{shown(self.low)} to {shown(self.high)}"
        if self.low < 1 < self.high:
            text += ": no difference measurable"
        return text


@dataclass(frozen=True)
class Figure:
    """What one contestant came to in each round, and its ratios.

    They are to the reference in the same round.
    """

    samples: list[float]
    ratios: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def times(self, other: "Figure") -> float:
        """Its ratio to another contestant, taken round by round."""
        pairs = zip(self.samples, other.samples, strict=True)
        return statistics.median(mine / its for mine, its in pairs)

    @property
    def spread(self) -> Spread:
        if len(self.ratios) == 1:
            return Spread(self.ratio, self.ratio)

        low, _, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return Spread(low, high)


@dataclass
class Table:
    """Figures as they are, for JSON; on a page they are ``shown``."""

    title: str
    header: list[str]
    rows: list[list[object]]


@dataclass
class Target:
    """What the engine is to reach, and what it did."""

    text: str
    value: float
    limit: float
    met: bool


@dataclass
class Chart:
    """A picture as data.

    Each series is a list of points, or of (label, value) bars.
    """

    name: str
    title: str
    kind: Literal["lines", "bars"]
    x_label: str
    y_label: str
    series: dict[str, list[tuple[Any, float]]]
    log_y: bool = False


@dataclass
class Bench:
    """One benchmark while it runs, and what it found."""

    name: str
    size: Size
    # Shows progress.
    say: Callable[[str], None] = lambda text: None
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    # What was measured, by contestant and round.
    samples: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    # Caveats, printed before the figures.
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def pick(self, quick: T, default: T, full: T | None = None) -> T:
        """The value for the size of this run.

        A full one is as the default one unless it is given.
        """
        if self.size == "quick":
            return quick
        if self.size == "full" and full is not None:
            return full
        return default

    def peer(self, module: str) -> ModuleType | None:
        """A library to compare with, or None where it is not installed.

        The report then says so.
        """
        try:
            return importlib.import_module(module)
        except ImportError:
            name = module.partition(".")[0]
            self.left_out.append(f"{name}: not installed; {HOW_TO_GET}")
            return None

    def check(self, right: bool, what: str) -> None:
        """Stop the run with an error unless ``right``."""
        if not right:
            raise CheckFailedError(f"{self.name}: {what}")

    def target(
        self,
        text: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Note whether ``value`` is within its limit.

        A miss is reported and ends nothing: machines are noisy.
        """
        # A quick run shows that all runs; its figures mean nothing.
        if self.size == "quick":
            return

        if at_most is not None:
            limit = at_most
            met = value <= at_most
            text = f"{text}: at most {limit:g}"
        else:
            assert at_least is not None
            limit = at_least
            met = value >= at_least
            text = f"{text}: at least {limit:g}"
        self.targets.append(Target(text, value, limit, met))

    def table(
        self, title: str, header: list[str], rows: Iterable[Iterable[object]]
    ) -> None:
        self.tables.append(Table(title, header, [list(row) for row in rows]))

    async def take_turns(
        self,
        what: str,
        contestants: Mapping[str, Callable[[], Awaitable[T]]],
        rounds: int | None = None,
        *,
        warm_up: bool = True,
    ) -> dict[str, list[T]]:
        """Let each warm up once, then run all in turn, A B A B.

        What each gave, without the warm-up; a quick run has none.
        """
        rounds = rounds or ROUNDS[self.size]
        given: dict[str, list[T]] = {name: [] for name in contestants}

        if warm_up and self.size != "quick":
            for name, sample in contestants.items():
                self.say(f"{name}, warm-up")
                await _take(sample)
        for number in range(1, rounds + 1):
            for name, sample in contestants.items():
                self.say(f"{name}, round {number} of {rounds}")
                given[name].append(await _take(sample))

        self.samples[what] = given
        return given

    async def measure(
        self, what: str, contestants: Mapping[str, Sample], rounds: int | None = None
    ) -> dict[str, Figure]:
        """Let contestants take turns; the first is the reference."""
        return figures_of(await self.take_turns(what, contestants, rounds))

    async def compare(
        self,
        title: str,
        unit: str,
        contestants: Mapping[str, Sample],
        rounds: int | None = None,
    ) -> dict[str, Figure]:
        """Measure, and add a table of medians and ratios.

        The ratios are to the first one, the reference.
        """
        figures = await self.measure(title, contestants, rounds)

        reference = next(iter(figures))
        header = [
            "",
            f"median, {unit}",
            f"ratio to {reference}",
            "its quartiles",
        ]
        rows = [
            (
                name,
                figure.median,
                figure.ratio,
                figure.spread,
            )
            for name, figure in figures.items()
        ]
        self.table(title, header, rows)
        return figures


async def _take(sample: Callable[[], Awaitable[T]]) -> T:
    # What one contestant left behind is not the next one's cost.
    gc.collect()
    return await sample()


def figures_of(samples: dict[str, list[float]]) -> dict[str, Figure]:
    """A figure for each contestant; the first one is the reference."""
    reference = next(iter(samples.values()))
    figures = {}
    for name, taken in samples.items():
        pairs = zip(taken, reference, strict=True)
        ratios = [_ratio(each, base) for each, base in pairs]
        figures[name] = Figure(taken, ratios)
    return figures


def _ratio(value: float, base: float) -> float:
    return value / base if base else math.nan


def parts_of(
    samples: Mapping[str, Sequence[tuple[float, ...]]],
) -> list[dict[str, Figure]]:
    """The same for samples of several figures, one part for each."""
    of_reference = next(iter(samples.values()))
    parts = []
    for place in range(len(of_reference[0])):
        part = {
            name: [figures[place] for figures in taken]
            for name, taken in samples.items()
        }
        parts.append(figures_of(part))
    return parts


def percentile(samples: Iterable[float], percent: int) -> float:
    """The nearest-rank percentile, from 1 to 99.

    NaN where that would be the largest, as p99 of less than 100 is.
    """
    ordered = sorted(samples)
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[rank - 1] if rank < len(ordered) else math.nan


def shown(value: object) -> str:
    """A number as a person reads it.

    It has three significant digits, and thousands stand apart.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if math.isnan(value):
        return "-"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


class Collector:
    """The time that Python's garbage collector has taken, in seconds.

    ``gc.callbacks`` tells it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.longest = 0.0
        self._started = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
            return

        pause = time.perf_counter() - self._started
        self.seconds += pause
        self.longest = max(self.longest, pause)


@dataclass
class Stalls:
    """For how long the event loop did not run what was due, in ms.

    The longest time, and the collector's longest pause.
    """

    longest: float = 0.0
    collector: float = 0.0


@contextlib.asynccontextmanager
async def watch_stalls() -> AsyncIterator[Stalls]:
    """Watch the running loop with a ticker of 1 ms.

    What the garbage collector takes is counted apart.
    """
    stalls = Stalls()
    collector = Collector()

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            collected = collector.seconds
            await asyncio.sleep(0.001)

            passed = time.perf_counter() - before
            collecting = collector.seconds - collected
            late = passed - 0.001 - collecting
            stalls.longest = max(stalls.longest, late * 1000)

    gc.callbacks.append(collector)
    ticker = asyncio.create_task(tick())
    # Let the ticker begin.
    await asyncio.sleep(0)
    try:
        yield stalls
        # What stalled it last is seen as well.
        await asyncio.sleep(0.002)
    finally:
        ticker.cancel()
        gc.callbacks.remove(collector)
        stalls.collector = collector.longest * 1000


def progress_line(prefix: str) -> Callable[[str], None]:
    """Shows what runs now.

    On a terminal that is one line that rewrites itself, else a line for
    each step.
    """
    terminal = sys.stderr.isatty()

    def say(text: str) -> None:
        line = f"{prefix}{text}"
        if terminal:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            line = f"\r\x1b[K{line[: width - 1]}"
        else:
            line += "\n"
        sys.stderr.write(line)
        sys.stderr.flush()

    return say
