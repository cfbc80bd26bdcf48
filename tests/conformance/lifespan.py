"""Lifespan: start and stop an application as a server would do."""

import asyncio
from typing import Any

from tests.conformance.api import UnmetError
from tests.conformance.solution import Solution

START_UP = 60.0  # virtual seconds


class Lifespan:
    """Of one running application."""

    def __init__(self, app: Any, solution: Solution) -> None:
        self._app = app
        self._solution = solution
        # What its lifespan yields; each request gets a copy.
        self.state: dict[str, Any] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def start(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0"},
            "state": self.state,
        }
        serving = self._app(scope, self._told.get, self._said.put)
        self._run = asyncio.create_task(serving)

        before = asyncio.all_tasks()
        await self._tell("startup", START_UP)
        await asyncio.sleep(0)
        self._background = asyncio.all_tasks() - before

    def deaths(self) -> list[str]:
        """Which background tasks of the startup died, and of what."""
        told = []
        for task in self._background:
            if not task.done() or task.cancelled():
                continue

            error = task.exception()
            if error is not None:
                name = getattr(task.get_coro(), "__qualname__", "a background task")
                told.append(f"{name} died: {self._solution.summary_of(error)}")

        return sorted(told)

    async def stop(self, within: float) -> None:
        """Stop within so many virtual seconds.

        Raises UnmetError where it takes longer.
        """
        await self._tell("shutdown", within)

    async def _tell(self, what: str, within: float) -> None:
        self._told.put_nowait({"type": f"lifespan.{what}"})
        said = asyncio.create_task(self._said.get())
        await asyncio.wait(
            {said, self._run}, timeout=within, return_when=asyncio.FIRST_COMPLETED
        )

        if said.done():
            message = said.result()
            if not message["type"].endswith("failed"):
                return
            happened = self._solution.summary_of(message.get("message") or "it failed")
            raise UnmetError(f"a {what} that succeeds", happened)

        # An application that knows no lifespan raises or returns: that
        # is allowed.
        said.cancel()
        if not self._run.done():
            raise UnmetError(
                f"the {what} to end within {within:g} s", "it has not ended"
            )
