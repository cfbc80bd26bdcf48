"""Bug: the list takes the first tasks, and then filters them.

Symptom: ``?status=queued&limit=2`` is empty, though a hundred are
queued, when the first two tasks are over.
Cure: filter by status first, and count what passes.
"""

from collections.abc import AsyncIterator

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["list_with_limit"]


class Wrong(Honest):
    async def stream(self, status: str | None, limit: int) -> AsyncIterator[str]:
        first = list(self.listed())[:limit]
        shown = [task for task in first if status in (None, task["status"])]

        yield "["
        for task in shown:
            yield self.piece(task, first=task is shown[0])
        yield "]"


app = Wrong().app
