"""How a figure is made: warm-up, interleaved rounds, medians with their spread, and ratios to a reference.

Rules: only figures of one run are compared, round by round, since these machines change their speed from minute to
minute. Whatever is measured is checked as well: a fast wrong answer is a failure, not a result.
"""

import asyncio
import contextlib
import gc
import importlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, TypeVar

Size = Literal["quick", "default", "full"]
Sample = Callable[[], Awaitable[float]]  # measures once, and gives one figure
T = TypeVar("T")

ROUNDS = {"quick": 1, "default": 5, "full": 15}
HOW_TO_GET = "pip install -r benchmarks/requirements.txt"


class CheckFailedError(AssertionError):
    """What was measured did not do what it should: its figures mean nothing."""


@dataclass(frozen=True)
class Figure:
    """What one contestant came to: medians over the rounds, quartiles for the spread."""

    median: float
    low: float
    high: float
    ratio: float  # the median of the ratios to the reference, round by round


@dataclass
class Table:
    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass
class Target:
    """What the engine is to reach, and what it did."""

    text: str
    value: float
    limit: float
    met: bool


@dataclass
class Chart:
    """A picture as data: each series is a list of points, or of (label, value) bars."""

    name: str
    title: str
    kind: Literal["lines", "bars"]
    x_label: str
    y_label: str
    series: dict[str, list[tuple[Any, float]]]
    log_x: bool = False
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
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # caveats, printed before the figures
    seconds: float = 0.0

    def pick(self, quick: T, default: T, full: T | None = None) -> T:
        """The value for the size of this run; a full one is as the default one unless it is given."""
        if self.size == "full" and full is not None:
            return full
        return quick if self.size == "quick" else default

    def peer(self, module: str) -> ModuleType | None:
        """A library to compare with, or None where it is not installed, which the report then says."""
        try:
            return importlib.import_module(module)
        except ImportError:
            self.left_out.append(f"{module.partition('.')[0]}: not installed; {HOW_TO_GET}")
            return None

    def check(self, right: bool, what: str) -> None:
        """Stop the run with an error unless ``right``."""
        if not right:
            raise CheckFailedError(f"{self.name}: {what}")

    def target(self, text: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
        """Note whether ``value`` is within its limit. A miss is reported and ends nothing: machines are noisy."""
        if at_most is not None:
            self.targets.append(Target(f"{text}: at most {at_most:g}", value, at_most, value <= at_most))
        elif at_least is not None:
            self.targets.append(Target(f"{text}: at least {at_least:g}", value, at_least, value >= at_least))

    def table(self, title: str, header: list[str], rows: Iterable[Iterable[object]]) -> None:
        self.tables.append(Table(title, header, [[shown(cell) for cell in row] for row in rows]))

    async def measure(self, contestants: dict[str, Sample], rounds: int | None = None) -> dict[str, Figure]:
        """Run each contestant once to warm up, then all in turn, A B A B; the first one is the reference."""
        rounds = rounds or ROUNDS[self.size]
        samples: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(-1 if self.size != "quick" else 0, rounds):
            for name, sample in contestants.items():
                self.say(f"{name}, " + ("warm-up" if number < 0 else f"round {number + 1} of {rounds}"))
                gc.collect()  # what one contestant left behind is not the next one's cost
                figure = await sample()
                if number >= 0:
                    samples[name].append(figure)
        reference = next(iter(samples.values()))
        return {name: _figure(figures, reference) for name, figures in samples.items()}

    async def compare(
        self, title: str, unit: str, contestants: dict[str, Sample], rounds: int | None = None
    ) -> dict[str, Figure]:
        """Measure, and add a table: the median, the quartiles, and the ratio to the first, the reference."""
        figures = await self.measure(contestants, rounds)
        reference = next(iter(figures))
        self.table(
            title,
            ["", f"median, {unit}", "quartiles", f"ratio to {reference}"],
            [(name, f.median, f"{shown(f.low)} to {shown(f.high)}", f"{f.ratio:.2f}") for name, f in figures.items()],
        )
        return figures


def _figure(samples: list[float], reference: list[float]) -> Figure:
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else samples * 3
    ratios = [sample / base for sample, base in zip(samples, reference, strict=True) if base]
    return Figure(statistics.median(samples), low, high, statistics.median(ratios or [1.0]))


def median_of(samples: Iterable[float]) -> float:
    return statistics.median(samples)


def percentile(samples: Iterable[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def shown(value: object) -> str:
    """A number as a person reads it: three significant digits, thousands apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


class Collector:
    """The time that Python's garbage collector has taken; ``gc.callbacks`` tells it."""

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
    """The longest time that the event loop did not run what was due, and the collector's longest pause, in ms."""

    longest: float = 0.0
    collector: float = 0.0


@contextlib.asynccontextmanager
async def watch_stalls() -> AsyncIterator[Stalls]:
    """Watch the running loop with a ticker of 1 ms; what the garbage collector takes is counted apart."""
    stalls, collector = Stalls(), Collector()

    async def tick() -> None:
        while True:
            before, collected = time.perf_counter(), collector.seconds
            await asyncio.sleep(0.001)
            late = time.perf_counter() - before - 0.001 - (collector.seconds - collected)
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


def rate_per_second(microseconds: float) -> str:
    return f"{1e6 / microseconds:,.0f}"


def progress_line(prefix: str) -> Callable[[str], None]:
    """Shows what runs now: one line that rewrites itself on a terminal, else a line for each step."""
    terminal = sys.stderr.isatty()

    def say(text: str) -> None:
        line = f"{prefix}{text}"
        sys.stderr.write(f"\r\x1b[K{line[:100]}" if terminal else f"{line}\n")
        sys.stderr.flush()

    return say
