"""Bug: the stream iterates over the dict of tasks itself, with an await between two of them.

Symptom: a task that comes during the list breaks it: dictionary changed size during iteration.
Cure: iterate over a snapshot, or in pages.
"""

from collections.abc import AsyncIterator

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["list_survives_changes"]


class Wrong(Honest):
    async def stream(self, status: str | None, limit: int) -> AsyncIterator[str]:
        yield "["
        sent = 0
        for task in self.tasks.values():
            if sent < limit and status in (None, task["status"]):
                yield self.piece(task, first=sent == 0)
                sent += 1
        yield "]"


app = Wrong().app
