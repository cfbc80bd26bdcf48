"""A virtual clock for anybody's code: loop, time.time, monotonic,
perf_counter, datetime.now and sleep agree on it.

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

from taskmanager.testing import VirtualLoop

# names of those that the loop or FastAPI starts
KNOWN_THREADS = ("AnyIO", "asyncio_", "ThreadPoolExecutor")
_START = 1000.0  # monotonic clocks begin here: a solution may well take 0 for "never"
# after so many turns without rest, time moves on by so many seconds all
# the same
_SPINS, _STEP = 500, 0.5


class Loop(VirtualLoop):
    """The loop that a solution runs on; ``wakes`` counts how often time
    had to move on, ``spun`` how often it spun.
    """

    def __init__(self) -> None:
        super().__init__()
        self.wakes = self.spun = self.turns = 0
        self._traveller = time_machine.travel(time.time(), tick=False)
        self._wall = self._traveller.start()
        self._began = time.time()

    def jump(self, seconds: float) -> None:
        super().jump(seconds)
        self.wakes += 1
        self.turns = 0
        self._wall.move_to(self._began + self.time())

    def _run_once(self) -> None:
        """A turn of the loop. In a ``while True: await sleep(0)`` time
        would stand still: something is always ready.
        """
        super()._run_once()  # type: ignore[misc]
        self.turns += 1
        if self.turns > _SPINS:
            self.spun += 1
            self.jump(_STEP)


def install() -> Loop:
    """Make this process live on virtual time, for the rest of its life."""
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
        if threading.current_thread() is threading.main_thread():
            # and nothing else can happen meanwhile, as in real life
            loop.jump(duration)
            return
        # no loop waits for it
        if not threading.current_thread().name.startswith(KNOWN_THREADS):
            really_sleep(duration)
            return
        over = threading.Event()
        loop.call_soon_threadsafe(_sleep_in_thread, loop, duration, over)
        over.wait()

    for name in ("monotonic", "perf_counter"):
        setattr(time, name, seconds)
        setattr(time, f"{name}_ns", nanoseconds)
    time.sleep = sleep


def _sleep_in_thread(loop: Loop, duration: float, over: threading.Event) -> None:
    """While its thread sleeps, time may move on."""

    def wake() -> None:
        loop.busy += 1
        over.set()

    loop.busy -= 1
    loop.call_later(duration, wake)


def _hold_time_for_threads(loop: Loop) -> None:
    """FastAPI runs a plain ``def`` route in a thread of anyio's."""
    run_sync = anyio.to_thread.run_sync

    async def held(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        loop.busy += 1
        try:
            return await run_sync(function, *args, **options)
        finally:
            loop.busy -= 1

    anyio.to_thread.run_sync = held
