"""Bug: all tasks share one event.

Symptom: a long poll is answered when something happens to another task.
Cure: an event for each task.
"""

import asyncio
from contextlib import suppress
from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["wait_is_for_its_own_task"]


class Wrong(Honest):
    def __init__(self) -> None:
        super().__init__()
        self.any_change = asyncio.Event()

    async def wait(self, task: dict[str, Any]) -> None:
        if task["status"] not in FINAL:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.any_change.wait(), 10)

    def change(self, task: dict[str, Any], status: str) -> None:
        super().change(task, status)
        changed = self.any_change
        self.any_change = asyncio.Event()
        changed.set()


app = Wrong().app
