"""Bug: an idle worker looks into the queue twenty times a second.

Symptom: five workers wake a hundred times a second for nothing, and
each task is begun up to 50 ms late.
Cure: await ``queue.get()``, which sleeps until something is there.
"""

import asyncio

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["rests_when_idle"]


class Wrong(Honest):
    async def work_once(self) -> None:
        while self.queue.empty():
            await asyncio.sleep(0.05)
        await super().work_once()


app = Wrong().app
