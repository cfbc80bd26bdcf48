"""Bug: the event of a task is not set where the task fails.

Symptom: who long-polls a task that fails learns of it after ten
seconds, or never.
Cure: one place that changes the status, and sets the event.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["wait_ends_at_failure"]


class Wrong(Honest):
    def fail(self, task: dict[str, Any], error: Exception) -> None:
        event = task["event"]
        task["event"] = asyncio.Event()
        super().fail(task, error)
        task["event"] = event


app = Wrong().app
