"""Supervisor: starts a loop again when it ends, and remembers that it
did.

Rules: a loop that nobody restarts leaves a server that accepts tasks
and never runs them, whether it raised, returned or was cancelled. One
that ends at each start must not spin, so each end doubles the pause
before the next. Call-backs watch the loops: an asyncio.Task that
watched could itself be cancelled. Notebook: 12-shutdown-and-faults.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

FIRST_PAUSE = 1.0  # seconds
LONGEST_PAUSE = 30.0  # seconds

Loop: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps loops alive.

    ``dead`` names those that wait for their restart.
    """

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.restarts = 0
        self.stopping = False
        self._loops: list[_KeptAlive] = []

    def keep_alive(self, name: str, run: Loop) -> "asyncio.Future[None]":
        """Run the loop ``run()`` under this name until ``stop``.

        Whenever it ends before, it is started again: after 1 s, then 2,
        4, ... 30 s, and from 1 s again once it has lived for 30 s. The
        future is done when it has ended for good.
        """
        loop = _KeptAlive(self, name, run)
        self._loops.append(loop)
        loop.start()
        return loop.ended

    def stop(self) -> None:
        """Cancel all loops, for good."""
        self.stopping = True
        for loop in self._loops:
            loop.stop()


class _KeptAlive:
    """A loop, and what is done at its end."""

    def __init__(self, supervisor: Supervisor, name: str, run: Loop) -> None:
        self.supervisor = supervisor
        self.name = name
        self.run = run
        self.pause = FIRST_PAUSE
        self.event_loop = asyncio.get_running_loop()
        self.ended = self.event_loop.create_future()

    def start(self) -> None:
        self.supervisor.dead.discard(self.name)
        # Set while it is dead.
        self.restart: asyncio.TimerHandle | None = None
        self.started = self.event_loop.time()
        self.task = asyncio.create_task(self.run(), name=self.name)
        self.task.add_done_callback(self.at_end)

    def at_end(self, task: "asyncio.Task[None]") -> None:
        if self.supervisor.stopping:
            # Whoever waits for it may have been cancelled.
            if not self.ended.done():
                self.ended.set_result(None)
            return

        error = None if task.cancelled() else task.exception()
        logger.error("%(loop)s has died", {"loop": self.name}, exc_info=error)
        self.supervisor.dead.add(self.name)

        if self.event_loop.time() - self.started >= LONGEST_PAUSE:
            self.pause = FIRST_PAUSE
        self.restart = self.event_loop.call_later(self.pause, self.start_again)
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def start_again(self) -> None:
        self.supervisor.restarts += 1
        self.start()

    def stop(self) -> None:
        if self.restart is None:
            # If it has just ended, at_end is called in the next turn.
            self.task.cancel()
        else:
            self.restart.cancel()
            self.at_end(self.task)
