"""Bug: every poller clears the one event of its task when it wakes.

Symptom: who comes a moment later finds the event cleared, and waits for
a change that has been.
Cure: swap in a new event at each change, set the old one, and never
clear any.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["wait_on_finished_is_immediate"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        event = task.setdefault("only_event", asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), 10)
            # Ready for the next change, it thinks.
            event.clear()
        except asyncio.TimeoutError:
            pass

    def change(self, task: dict[str, Any], status: str) -> None:
        super().change(task, status)
        task.setdefault("only_event", asyncio.Event()).set()


app = Wrong().app
