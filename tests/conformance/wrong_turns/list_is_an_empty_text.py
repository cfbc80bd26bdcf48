"""Bug: without a filter, the list is an empty text.

Symptom: no client can read it as JSON, though it looks like a list of
nothing.
Cure: an empty list is ``[]``; look at each answer with a JSON parser.
"""

from fastapi.responses import StreamingResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["answers_are_json"]


class Wrong(Honest):
    async def list_tasks(
        self, status: str | None = None, limit: int | None = None
    ) -> StreamingResponse:
        answer = await super().list_tasks(status, limit)
        if status:
            return answer
        return StreamingResponse(iter(()), media_type="text/plain")


app = Wrong().app
