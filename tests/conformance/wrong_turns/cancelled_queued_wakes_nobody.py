"""Bug: DELETE of a queued task sets its status, and wakes nobody.

Symptom: who long-polls a queued task that is then cancelled waits out
the whole ten seconds, since the waking is left to the task's work,
which never begins.
Cure: one function changes a status and sets the event, and nothing else
writes a status.
"""

import time
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_wakes_waiters"]


class Wrong(Honest):
    def cancel_task(self, task: dict[str, Any]) -> None:
        if task["status"] == "queued":
            task["status"] = "cancelled"
            task["finished"] = time.monotonic()
        else:
            super().cancel_task(task)


app = Wrong().app
