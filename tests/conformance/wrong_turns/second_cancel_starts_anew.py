"""Bug: each DELETE of a cancelled task notes the time of its end anew.

Symptom: who asks for it again and again keeps it for ever.
Cure: what is final has one end; look at the status before a change.
"""

import time
from typing import Any

from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancelled_is_removed"]


class Wrong(Honest):
    async def cancel(self, task_id: str) -> JSONResponse:
        task: dict[str, Any] = self.find(task_id)
        answer = await super().cancel(task_id)
        task["finished"] = time.monotonic()
        return answer


app = Wrong().app
