"""Bug: DELETE of a queued task sets its status, and leaves the waking
to the task's work, which never begins.

Symptom: who long-polls a queued task that is then cancelled waits out
the whole ten seconds.
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
            task["status"], task["finished"] = "cancelled", time.monotonic()
        else:
            super().cancel_task(task)


app = Wrong().app
