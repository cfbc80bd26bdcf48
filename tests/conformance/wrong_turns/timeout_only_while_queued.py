"""Bug: only the long poll of a queued task has a timeout.

Symptom: once the task is in process, the poll lasts until its end, for
up to half a minute.
Cure: one deadline for the whole request, whatever the task does.
"""

import asyncio
from contextlib import suppress
from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["wait_never_exceeds_ten_seconds"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        timeout = 10 if task["status"] == "queued" else None
        if task["status"] not in FINAL:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(task["event"].wait(), timeout)


app = Wrong().app
