"""Bug: the long poll makes its answer before it waits.

Symptom: it comes at the right moment and says ``processing``: the
client has to ask once more.
Cure: look at the task again after the wait.
"""

from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["wait_ends_at_completion"]


class Wrong(Honest):
    async def read(self, task_id: str, wait: bool = False) -> JSONResponse:
        task = self.find(task_id)
        answer = JSONResponse(self.shown(task))
        if wait:
            await self.wait(task)
        return answer


app = Wrong().app
