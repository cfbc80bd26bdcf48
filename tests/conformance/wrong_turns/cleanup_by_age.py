"""Bug: the cleanup looks at when a task was made, if it has no end.

Symptom: a task that waits for ten minutes is gone before it has begun.
Cure: remove finished tasks only.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["unfinished_is_not_removed"]


class Wrong(Honest):
    def is_old(self, task: dict[str, Any], now: float) -> bool:
        is_over = task["status"] in FINAL
        since = task["finished"] if is_over else task["created"]
        return bool(since + 600 <= now)


app = Wrong().app
