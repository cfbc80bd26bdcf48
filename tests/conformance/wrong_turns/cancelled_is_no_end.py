"""Bug: a long poll takes only completed and failed tasks for finished.

Symptom: the poll of a cancelled task lasts ten seconds.
Cure: one list of the statuses that are final, for all who ask.
"""

import asyncio
from contextlib import suppress
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["wait_on_other_ends_is_immediate"]


class Wrong(Honest):
    async def wait(self, task: dict[str, Any]) -> None:
        if task["status"] not in ("completed", "failed"):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(task["event"].wait(), 10)


app = Wrong().app
