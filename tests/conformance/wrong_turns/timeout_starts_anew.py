"""Bug: a long poll waits ten seconds for each change, up to the end.

Symptom: a poll that saw the task begin takes longer than ten seconds.
Cure: compute one deadline as the request comes, and wait for what is
left of it.
"""

import asyncio
from contextlib import suppress
from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["wait_never_exceeds_ten_seconds"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        with suppress(asyncio.TimeoutError):
            while task["status"] not in FINAL:
                began = task["status"]
                await asyncio.wait_for(task["event"].wait(), 10)
                # A change is news, but for the one that begins it.
                if began == "processing":
                    break


app = Wrong().app
