"""Bug: the filter was written before there were failed tasks.

Symptom: GET /tasks?status=failed, or cancelled, is refused.
Cure: check a filter against the statuses that a task can have, which
stand in one place.
"""

from fastapi import HTTPException
from fastapi.responses import StreamingResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["list_by_final_status"]


class Wrong(Honest):
    async def list_tasks(
        self, status: str | None = None, limit: int | None = None
    ) -> StreamingResponse:
        if status in ("failed", "cancelled"):
            raise HTTPException(400, "there is no such status")
        return await super().list_tasks(status, limit)


app = Wrong().app
