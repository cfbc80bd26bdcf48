"""Bug: only what a worker has had in hand gets the time of its end.

Symptom: tasks that were cancelled while they were queued are kept for
ever.
Cure: one place that changes a status, and notes the time of each end.
"""

import math
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancelled_is_removed"]


class Wrong(Honest):
    def cancel_task(self, task: dict[str, Any]) -> None:
        was_queued = task["status"] == "queued"
        super().cancel_task(task)
        if was_queued:
            task["finished"] = math.inf


app = Wrong().app
