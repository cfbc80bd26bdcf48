"""Bug: a change wakes one of those who wait, as notify() does.

Symptom: of several who long-poll a task, all but one learn of its end
only when their ten seconds are over.
Cure: wake them all: set an event, or call notify_all().
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["every_waiter_wakes"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        if task["status"] not in FINAL:
            woken = asyncio.Event()
            waiting = task.setdefault("waiting", deque())
            waiting.append(woken)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(woken.wait(), 10)
            with suppress(ValueError):
                waiting.remove(woken)

    def change(self, task: dict[str, Any], status: str) -> None:
        super().change(task, status)
        if task.get("waiting"):
            task["waiting"].popleft().set()


app = Wrong().app
