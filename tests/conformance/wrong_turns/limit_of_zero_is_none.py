"""Bug: ``if limit:`` takes 0 for no limit at all.

Symptom: GET /tasks?limit=0 lists all tasks.
Cure: ask ``is not None``, or refuse 0 with 400.
"""

from fastapi.responses import StreamingResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["limit_of_zero_lists_nothing"]


class Wrong(Honest):
    async def list_tasks(
        self, status: str | None = None, limit: int | None = None
    ) -> StreamingResponse:
        if limit:
            return await super().list_tasks(status, limit)
        return await super().list_tasks(status)


app = Wrong().app
