"""Bug: the long poll looks ten times a second for something new.

Symptom: a thousand pollers are ten thousand wake-ups a second, and news
comes late by up to 0.1 s.
Cure: await the event of the task, with a time-out.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["wait_is_not_busy"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        before = task["status"]
        if before in FINAL:
            return

        for _ in range(100):
            if task["status"] != before:
                return
            await asyncio.sleep(0.1)


app = Wrong().app
