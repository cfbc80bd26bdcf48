"""Bug: a worker catches only the errors that its author thought of.

Symptom: after a KeyError in some task, there is a worker less.
Cure: catch Exception around each task, log it, and go on.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest, TaskFailedError

CAUGHT_BY = ["workers_survive_unexpected_errors"]


class Wrong(Honest):
    async def work(self) -> None:
        workers = (self.worker() for _ in range(5))
        await asyncio.gather(*workers, return_exceptions=True)

    def fail(self, task: dict[str, Any], error: Exception) -> None:
        super().fail(task, error)
        if not isinstance(error, TaskFailedError):
            raise error


app = Wrong().app
