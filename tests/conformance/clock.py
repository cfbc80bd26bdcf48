"""A virtual clock for anybody's code.

The loop, time.time, monotonic, perf_counter, clock_gettime,
datetime.now and sleep agree on it.

Rules: install() comes before the solution is imported, so that a
function it keeps a reference to is a virtual one. Wall clocks are
time-machine's, which replaces them in C: freezegun would miss
``default_factory=datetime.now``. What it does not reach: threads that
wait in ways that are not Python's, processes, another event loop, and
timers of the operating system, such as signal.alarm.
"""

import asyncio
import selectors
import sys
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import time_machine

from tests.conformance.threads import OF_PROCESSES, Threads, follow

# What monotonic clocks show at first: a solution may well take 0 for
# "never".
_START = 1000.0
# After so many turns without rest, time moves on by so many seconds all
# the same.
_SPINS = 500
_STEP = 0.5
# The time of day at the start: 2026-01-15T12:00:00Z, each time.
_EPOCH = 1_768_478_400.0
# Real seconds, between two looks at the threads.
_SLICE = 0.01
# Those of clock_gettime that show the time of day.
_WALL = ("CLOCK_REALTIME", "CLOCK_REALTIME_COARSE", "CLOCK_TAI")
# Those that run evenly.
_EVEN = (
    "CLOCK_MONOTONIC",
    "CLOCK_MONOTONIC_RAW",
    "CLOCK_MONOTONIC_COARSE",
    "CLOCK_BOOTTIME",
    "CLOCK_UPTIME",
    "CLOCK_UPTIME_RAW",
)


class Loop(asyncio.SelectorEventLoop):
    """The loop that a solution runs on.

    Its time starts at 0, and moves only when all that could run has
    run, threads included.
    """

    def __init__(self) -> None:
        self._virtual = 0.0
        # How often time had to move on, and how often because the loop
        # came to no rest.
        self.wakes = 0
        self.spun = 0
        # Turns since time has moved on.
        self.turns = 0
        self._was_poked = False
        self.threads = Threads(self)
        self._traveller = time_machine.travel(_EPOCH, tick=False)
        self._wall = self._traveller.start()
        self._began = time.time()
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._virtual

    def jump(self, seconds: float) -> None:
        self._virtual += seconds
        self.wakes += 1
        self.turns = 0
        self._wall.move_to(self._began + self._virtual)
        self.threads.wake_those_due()

    def poke(self) -> None:
        """Look again: a thread has changed. Any thread may call it."""
        if not self.is_closed():
            self.call_soon_threadsafe(self._poked)

    def _poked(self) -> None:
        # This is no turn of the solution's.
        self._was_poked = True

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """Time waits for what other executors than threads do, too."""
        future = super().run_in_executor(executor, func, *args)
        if executor is not None and not isinstance(executor, ThreadPoolExecutor):
            self.threads.begins(future)
            future.add_done_callback(self.threads.ends)
        return future

    def _run_once(self) -> None:
        """Take one turn of the loop.

        In a ``while True: await sleep(0)`` time would stand still:
        something is always ready.
        """
        super()._run_once()  # type: ignore[misc]
        self.turns += not self._was_poked
        self._was_poked = False
        if self.turns > _SPINS:
            self.spun += 1
            self.jump(_STEP)


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; where nothing is, jump instead of waiting.

        Without any timer, really wait.
        """
        if timeout is not None and timeout <= 0:
            return super().select(timeout)

        threads = self._loop.threads
        while True:
            # Asked first: what a thread does before it waits is ready
            # by then.
            must_wait = threads.are_at_work
            pause = _SLICE if must_wait else 0.0
            ready = super().select(pause)
            if ready or not must_wait:
                break
            threads.look(_SLICE)

        threads.rest()
        if ready:
            return ready

        pauses = []
        if timeout is not None:
            pauses.append(timeout)
        alarm = threads.next_alarm()
        if alarm is not None:
            pauses.append(max(alarm - self._loop.time(), 0.0))

        if not pauses:
            return super().select(None)
        self._loop.jump(min(pauses))
        return ready


def install() -> Loop:
    """Make this process live on virtual time from now on."""
    loop = Loop()

    def seconds() -> float:
        return _START + loop.time()

    _leave_alone(OF_PROCESSES)
    _replace_clocks(seconds)
    _replace_sleep()
    follow(loop.threads, seconds)
    return loop


def _leave_alone(packages: tuple[str, ...]) -> None:
    """Keep for them the clocks of now.

    They wait for other processes, and would spin for ever while time
    stands still.
    """
    real = types.ModuleType("time")
    vars(real).update(vars(time))
    for name, module in list(sys.modules.items()):
        if name.startswith(packages) and getattr(module, "time", None) is time:
            # A module's attribute that is no part of its interface.
            vars(module)["time"] = real


def _replace_clocks(seconds: Callable[[], float]) -> None:
    def nanoseconds() -> int:
        return int(seconds() * 1e9)

    module: Any = time
    for name in ("monotonic", "perf_counter"):
        setattr(module, name, seconds)
        setattr(module, f"{name}_ns", nanoseconds)

    wall = {getattr(time, name, None) for name in _WALL}
    even = {getattr(time, name, None) for name in _EVEN}
    of_the_system = time.clock_gettime
    of_the_system_ns = time.clock_gettime_ns

    def clock_gettime(clock: int) -> float:
        if clock in wall:
            return time.time()
        return seconds() if clock in even else of_the_system(clock)

    def clock_gettime_ns(clock: int) -> int:
        if clock in wall:
            return time.time_ns()
        return nanoseconds() if clock in even else of_the_system_ns(clock)

    module.clock_gettime = clock_gettime
    module.clock_gettime_ns = clock_gettime_ns


def _replace_sleep() -> None:
    really_sleep = time.sleep

    def sleep(duration: float) -> None:
        if duration <= 0:
            # It gives way, or raises.
            really_sleep(duration)
        else:
            # In the thread of the loop nothing else of the loop can
            # happen meanwhile, as in real life.
            threading.Event().wait(duration)

    module: Any = time
    module.sleep = sleep
