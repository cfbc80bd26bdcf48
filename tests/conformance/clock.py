"""A virtual clock for anybody's code.

The loop, time.time, monotonic, perf_counter, datetime.now and sleep
agree on it.

Rules: install() comes before the solution is imported, so that a
function it keeps a reference to is a virtual one. Wall clocks are
time-machine's, which replaces them in C: freezegun would miss
``default_factory=datetime.now``. What it does not reach: threads and
processes that were not started through the loop or FastAPI, and another
event loop.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import time_machine

from tests.conformance.virtual_time import VirtualLoop

# The names of threads that the loop or FastAPI starts.
KNOWN_THREADS = ("AnyIO", "asyncio_", "ThreadPoolExecutor")
# What monotonic clocks show at first: a solution may well take 0 for
# "never".
_START = 1000.0
# After so many turns without rest, time moves on by so many seconds all
# the same.
_SPINS = 500
_STEP = 0.5


class Loop(VirtualLoop):  # type: ignore[misc]
    """The loop that a solution runs on."""

    def __init__(self) -> None:
        super().__init__()
        # How often time had to move on, and how often because the loop
        # came to no rest.
        self.wakes = 0
        self.spun = 0
        # Turns since time has moved on.
        self.turns = 0
        self._traveller = time_machine.travel(time.time(), tick=False)
        self._wall = self._traveller.start()
        self._began = time.time()

    def jump(self, seconds: float) -> None:
        super().jump(seconds)
        self.wakes += 1
        self.turns = 0
        self._wall.move_to(self._began + self.time())

    def _run_once(self) -> None:
        """Take one turn of the loop.

        In a ``while True: await sleep(0)`` time would stand still:
        something is always ready.
        """
        super()._run_once()
        self.turns += 1
        if self.turns > _SPINS:
            self.spun += 1
            self.jump(_STEP)


def install() -> Loop:
    """Make this process live on virtual time from now on."""
    loop = Loop()
    _replace_clocks(loop)
    _hold_time_for_threads(loop)
    return loop


def _replace_clocks(loop: Loop) -> None:
    def seconds() -> float:
        return _START + loop.time()

    def nanoseconds() -> int:
        return int(seconds() * 1e9)

    really_sleep = time.sleep

    def sleep(duration: float) -> None:
        thread = threading.current_thread()
        if thread is threading.main_thread():
            # Nothing else can happen meanwhile, as in real life.
            loop.jump(duration)
        elif thread.name.startswith(KNOWN_THREADS):
            over = threading.Event()
            loop.call_soon_threadsafe(_sleep_in_thread, loop, duration, over)
            over.wait()
        else:
            # No loop waits for this thread.
            really_sleep(duration)

    for name in ("monotonic", "perf_counter"):
        setattr(time, name, seconds)
        setattr(time, f"{name}_ns", nanoseconds)
    time.sleep = sleep


def _sleep_in_thread(loop: Loop, duration: float, over: threading.Event) -> None:
    """Let time move on while a thread sleeps."""

    def wake() -> None:
        loop.busy += 1
        over.set()

    loop.busy -= 1
    loop.call_later(duration, wake)


def _hold_time_for_threads(loop: Loop) -> None:
    """Let time wait for FastAPI's plain routes, in anyio's threads."""
    run_sync = anyio.to_thread.run_sync

    async def held(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        loop.busy += 1
        try:
            return await run_sync(function, *args, **options)
        finally:
            loop.busy -= 1

    anyio.to_thread.run_sync = held
