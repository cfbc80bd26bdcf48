"""Bug: the record is kept though the queue has no room for it.

Symptom: a refused submission is listed as queued for ever, and never
runs.
Cure: ask the queue first, or take the record out again; no await
between the two.
"""

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest, Submission

CAUGHT_BY = ["refusal_leaves_nothing"]


class Wrong(Honest):
    async def submit(self, submission: Submission) -> JSONResponse:
        self.check(submission)
        task = self.new_task(submission)
        full = self.full()
        self.tasks[task["task_id"]] = task
        if full:
            raise HTTPException(503, "the queue is full; try again later")

        self.put(task)
        return JSONResponse(self.shown(task), 202)


app = Wrong().app
