"""How a figure is made: warm-up, interleaved rounds, medians, and
ratios to a reference with their spread.

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
Sample = Callable[[], Awaitable[float]]  # measures once, and gives one figure
T = TypeVar("T")

ROUNDS = {"quick": 1, "default": 5, "full": 15}
PERCENTILES = (50, 90, 99)
HOW_TO_GET = "pip install -r benchmarks/requirements.txt"


class CheckFailedError(AssertionError):
    """What was measured did not do what it should: its figures mean
    nothing.
    """


class Spread(NamedTuple):
    """The quartiles of a ratio over the rounds."""

    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return ""  # the reference beside itself, or a single round
        text = f"{shown(self.low)} to {shown(self.high)}"
        return f"{text}: no difference measurable" if self.low < 1 < self.high else text


@dataclass(frozen=True)
class Figure:
    """What one contestant came to in each round, and its ratio to the
    reference in the same round.
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
        """Its ratio to another one than the reference, of the same
        rounds.
        """
        return statistics.median(
            mine / its for mine, its in zip(self.samples, other.samples, strict=True)
        )

    @property
    def spread(self) -> Spread:
        if len(self.ratios) == 1:
            return Spread(self.ratio, self.ratio)
        low, _, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return Spread(low, high)


@dataclass
class Table:
    title: str
    header: list[str]
    # figures as they are: the JSON file has them so, and a page as
    # ``shown``
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
    """A picture as data: each series is a list of points, or of (label,
    value) bars.
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
    say: Callable[[str], None] = lambda text: None  # shows progress
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    # what was measured, by contestant and round
    samples: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    # caveats, printed before the figures
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def pick(self, quick: T, default: T, full: T | None = None) -> T:
        """The value for the size of this run; a full one is as the
        default one unless it is given.
        """
        if self.size == "full" and full is not None:
            return full
        return quick if self.size == "quick" else default

    def peer(self, module: str) -> ModuleType | None:
        """A library to compare with, or None where it is not installed,
        which the report then says.
        """
        try:
            return importlib.import_module(module)
        except ImportError:
            self.left_out.append(
                f"{module.partition('.')[0]}: not installed; {HOW_TO_GET}"
            )
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
        """Note whether ``value`` is within its limit. A miss is
        reported and ends nothing: machines are noisy.
        """
        if self.size == "quick":
            return  # it shows that everything runs, and its figures mean nothing
        if at_most is not None:
            self.targets.append(
                Target(f"{text}: at most {at_most:g}", value, at_most, value <= at_most)
            )
        elif at_least is not None:
            self.targets.append(
                Target(
                    f"{text}: at least {at_least:g}", value, at_least, value >= at_least
                )
            )

    def table(
        self, title: str, header: list[str], rows: Iterable[Iterable[object]]
    ) -> None:
        self.tables.append(Table(title, header, [list(row) for row in rows]))

    async def take_turns(
        self,
        what: str,
        contestants: Mapping[str, Callable[[], Awaitable[T]]],
        rounds: int | None = None,
    ) -> dict[str, list[T]]:
        """Run each contestant once to warm up, then all in turn, A B A
        B; what each gave, without the warm-up.
        """
        rounds = rounds or ROUNDS[self.size]
        given: dict[str, list[T]] = {name: [] for name in contestants}
        for number in range(-1 if self.size != "quick" else 0, rounds):
            for name, sample in contestants.items():
                self.say(
                    f"{name}, "
                    + ("warm-up" if number < 0 else f"round {number + 1} of {rounds}")
                )
                # what one contestant left behind is not the next one's
                # cost
                gc.collect()
                gave = await sample()
                if number >= 0:
                    given[name].append(gave)
        self.samples[what] = given
        return given

    async def measure(
        self, what: str, contestants: Mapping[str, Sample], rounds: int | None = None
    ) -> dict[str, Figure]:
        """Let contestants take turns; the first one is the reference."""
        return figures_of(await self.take_turns(what, contestants, rounds))

    async def compare(
        self,
        title: str,
        unit: str,
        contestants: Mapping[str, Sample],
        rounds: int | None = None,
    ) -> dict[str, Figure]:
        """Measure, and add a table: the median, and the ratio to the
        first, the reference, with its quartiles.
        """
        figures = await self.measure(title, contestants, rounds)
        self.table(
            title,
            ["", f"median, {unit}", f"ratio to {next(iter(figures))}", "its quartiles"],
            [
                (name, figure.median, figure.ratio, figure.spread)
                for name, figure in figures.items()
            ],
        )
        return figures


def figures_of(samples: dict[str, list[float]]) -> dict[str, Figure]:
    """A figure for each contestant; the first one is the reference."""
    reference = next(iter(samples.values()))
    return {
        name: Figure(
            taken,
            [
                each / base if base else math.nan
                for each, base in zip(taken, reference, strict=True)
            ],
        )
        for name, taken in samples.items()
    }


def parts_of(
    samples: Mapping[str, Sequence[tuple[float, ...]]],
) -> list[dict[str, Figure]]:
    """The same for samples of several figures each: one answer for each
    place.
    """
    places = range(len(next(iter(samples.values()))[0]))
    return [
        figures_of(
            {name: [each[place] for each in taken] for name, taken in samples.items()}
        )
        for place in places
    ]


def percentile(samples: Iterable[float], percent: int) -> float:
    """The nearest-rank percentile, from 1 to 99; NaN where that would
    be the largest, as p99 of less than 100 is.
    """
    ordered = sorted(samples)
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[rank - 1] if rank < len(ordered) else math.nan


def shown(value: object) -> str:
    """A number as a person reads it: three significant digits,
    thousands apart.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if math.isnan(value):
        return "-"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


class Collector:
    """The time that Python's garbage collector has taken;
    ``gc.callbacks`` tells it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.longest = 0.0
        self._started = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            pause = time.perf_counter() - self._started
            self.seconds += pause
            self.longest = max(self.longest, pause)


@dataclass
class Stalls:
    """The longest time that the event loop did not run what was due,
    and the collector's longest pause, in ms.
    """

    longest: float = 0.0
    collector: float = 0.0


@contextlib.asynccontextmanager
async def watch_stalls() -> AsyncIterator[Stalls]:
    """Watch the running loop with a ticker of 1 ms; what the garbage
    collector takes is counted apart.
    """
    stalls, collector = Stalls(), Collector()

    async def tick() -> None:
        while True:
            before, collected = time.perf_counter(), collector.seconds
            await asyncio.sleep(0.001)
            late = (
                time.perf_counter() - before - 0.001 - (collector.seconds - collected)
            )
            stalls.longest = max(stalls.longest, late * 1000)

    gc.callbacks.append(collector)
    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)  # the ticker has begun
    try:
        yield stalls
        await asyncio.sleep(0.002)  # what stalled it last is seen as well
    finally:
        ticker.cancel()
        gc.callbacks.remove(collector)
        stalls.collector = collector.longest * 1000


def progress_line(prefix: str) -> Callable[[str], None]:
    """Shows what runs now: one line that rewrites itself on a terminal,
    else a line for each step.
    """
    terminal = sys.stderr.isatty()

    def say(text: str) -> None:
        line = f"{prefix}{text}"
        if terminal:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            line = f"\r\x1b[K{line[: width - 1]}"
        sys.stderr.write(line if terminal else f"{line}\n")
        sys.stderr.flush()

    return say
