"""Bug: the worker of a cancelled task waits for what never comes.

Symptom: each DELETE of a task in process costs one of the five workers.
Cure: whatever becomes of a task, its worker goes on to the next.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_frees_worker"]


class Wrong(Honest):
    async def process(self, task: dict[str, Any]) -> None:
        await super().process(task)
        if task["status"] == "cancelled":
            await asyncio.Event().wait()


app = Wrong().app
