"""Bug: a finished task is not found when it is to be cancelled.

Symptom: a client that can read the task is told that there is none.
Cure: 409: it is there, and too late.
"""

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_finished_is_refused"]


class Wrong(Honest):
    async def cancel(self, task_id: str) -> JSONResponse:
        task = self.find(task_id)
        if task["status"] in ("completed", "failed"):
            raise HTTPException(404, "no such task is under way")
        return await super().cancel(task_id)


app = Wrong().app
