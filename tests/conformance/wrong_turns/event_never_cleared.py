"""Bug: the one event of a task is set at its start, and stays set.

Symptom: each long poll of a task in process is answered at once, so
that a client that trusts it asks without a pause.
Cure: swap in a new event at each change, and set the old one.
"""

import asyncio
from contextlib import suppress
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["wait_ends_at_completion"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        event = task.setdefault("only_event", asyncio.Event())
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(event.wait(), 10)

    def change(self, task: dict[str, Any], status: str) -> None:
        super().change(task, status)
        task.setdefault("only_event", asyncio.Event()).set()


app = Wrong().app
