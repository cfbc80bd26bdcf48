"""Bug: DELETE refuses completed tasks, and forgets failed ones.

Symptom: a failed task becomes a cancelled one, and its error is lost.
Cure: refuse every status that is final, from one list of them.
"""

from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_ended_changes_nothing"]


class Wrong(Honest):
    async def cancel(self, task_id: str) -> JSONResponse:
        task: dict[str, Any] = self.find(task_id)
        if task["status"] == "completed":
            raise HTTPException(409, "the task has completed already")

        if task["status"] != "cancelled":
            task["error"] = None
            self.cancel_task(task)
        return JSONResponse(self.shown(task))


app = Wrong().app
