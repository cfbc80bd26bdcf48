"""Bug: DELETE cancels what waits for the work, and not the work.

Symptom: the task is cancelled and its worker free, while the work goes
on beside that of five others.
Cure: cancel the asyncio.Task in which the work is; shield only what has
to be finished.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancelled_work_ends"]


class Wrong(Honest):
    async def perform(self, task: dict[str, Any]) -> Any:
        return await asyncio.shield(super().perform(task))


app = Wrong().app
