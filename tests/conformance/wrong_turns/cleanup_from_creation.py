"""Bug: the ten minutes are counted from the submission.

Symptom: a task that waited nine minutes in the queue is gone a minute
after it ended, or before.
Cure: count from the end.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["kept_for_ten_minutes"]


class Wrong(Honest):
    def is_old(self, task: dict[str, Any], now: float) -> bool:
        return bool(task["status"] in FINAL and task["created"] + 600 <= now)


app = Wrong().app
