"""Bug: any value of ``wait`` is taken for true, as a text is.

Symptom: ``?wait=false`` waits ten seconds.
Cure: declare ``wait: bool``, and let pydantic read it.
"""

from typing import Any

from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["get_does_not_wait"]


class Wrong(Honest):
    async def read(self, task_id: str, wait: Any = "") -> JSONResponse:
        return await super().read(task_id, bool(wait))


app = Wrong().app
