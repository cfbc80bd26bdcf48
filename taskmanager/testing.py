"""Virtual time: an event loop that jumps to its next timer when nothing
is ready, and clocks that jump with it.

Rule: a sleep of ten minutes takes no time, and exactly ten minutes by
every clock. Time stands still while an executor works for the loop;
threads and processes of other kinds, and sockets, do not hold it back.
Notebook: 07-cleanup-and-frozen-time.
"""

import asyncio
import contextlib
import selectors
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

# real seconds that a job in an executor may hold time back: it may
# itself be waiting for the loop
PATIENCE = 0.3
# 2026-01-01T00:00:00Z: what the wall clock shows when a VirtualLoop is
# new
EPOCH = 1_767_225_600.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` starts at 0 and moves only when
    all that could run has run.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self.busy = 0  # jobs that executors have not finished
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds

    def run_in_executor(self, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(*args)
        self.busy += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, future: Any) -> None:
        self.busy -= 1


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; where nothing is, jump instead of waiting.
        Without any timer, really wait.
        """
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready, patience = super().select(0), PATIENCE
        while not ready and self._loop.busy and patience > 0:
            ready = super().select(0.01)
            patience -= 0.01
        if not ready:
            self._loop.jump(timeout)
        return ready


@contextlib.contextmanager
def clocks_of(loop: VirtualLoop) -> Iterator[None]:
    """Let ``time.time()`` and ``time.monotonic()`` show the loop's
    time, to whoever calls them by these names.
    """
    clocks: dict[str, Any] = {
        "time": lambda: EPOCH + loop.time(),
        "monotonic": loop.time,
    }
    with mock.patch.multiple(time, **clocks):
        yield
