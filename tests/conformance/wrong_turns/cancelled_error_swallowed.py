"""Bug: the worker catches every CancelledError, its own as well, and goes on.

Symptom: the stop never ends: the workers cannot be cancelled.
Cure: let CancelledError pass where it is the worker that was cancelled.
"""

import asyncio

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["stops_with_work_under_way"]


class Wrong(Honest):
    async def worker(self) -> None:
        while True:
            try:
                *_, task_id = await self.queue.get()
                await self.process(self.tasks[task_id])
            except asyncio.CancelledError:
                continue


app = Wrong().app
