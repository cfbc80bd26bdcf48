"""Bug: the queue is checked, something awaited, and then filled.

Symptom: two hundred submissions that come at the same moment are all
accepted.
Cure: check and put without an await in between, or let ``put_nowait``
of a bounded queue refuse.
"""

import asyncio

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest, Submission

CAUGHT_BY = ["burst_does_not_overfill"]


class Wrong(Honest):
    async def submit(self, submission: Submission) -> JSONResponse:
        self.check(submission)
        if self.full():
            raise HTTPException(503, "the queue is full; try again later")

        # Such as a call to a service that checks the caller.
        await asyncio.sleep(0)
        task = self.new_task(submission)
        self.tasks[task["task_id"]] = task
        self.put(task)
        return JSONResponse(self.shown(task), 202)


app = Wrong().app
