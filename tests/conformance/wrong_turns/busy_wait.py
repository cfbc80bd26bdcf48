"""Bug: the long poll looks every tenth of a second whether something
has changed.

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
        end = asyncio.get_running_loop().time() + 10
        before = task["status"]
        while (
            task["status"] == before
            and before not in FINAL
            and asyncio.get_running_loop().time() < end
        ):
            await asyncio.sleep(0.1)


app = Wrong().app
