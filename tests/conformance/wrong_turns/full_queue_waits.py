"""Bug: a submission waits until there is a place in the queue.

Symptom: where the queue is full, POST /tasks is not answered with 503,
but hangs until a task has been processed.
Cure: put_nowait(), and 503 for QueueFull.
"""

import asyncio

from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest, Submission

CAUGHT_BY = ["full_is_503"]


class Wrong(Honest):
    async def submit(self, submission: Submission) -> JSONResponse:
        self.check(submission)
        while self.full():
            await asyncio.sleep(0.05)
        return await super().submit(submission)


app = Wrong().app
