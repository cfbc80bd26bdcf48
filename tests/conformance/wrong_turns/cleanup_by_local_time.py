"""Bug: a task ends at a time in UTC, and its age is from local time.

Symptom: east of Greenwich a task is gone at once, and west of it, it is
kept for hours. In London, in winter, all is well.
Cure: time.monotonic() for durations; datetime.now(timezone.utc) for
what is shown.
"""

from datetime import datetime, timedelta, timezone
from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["removal_knows_no_zone"]


class Wrong(Honest):
    def change(self, task: dict[str, Any], status: str) -> None:
        super().change(task, status)
        if status in FINAL:
            task["ended"] = datetime.now(timezone.utc).replace(tzinfo=None)

    def is_old(self, task: dict[str, Any], now: float) -> bool:
        ended = task.get("ended", datetime.max)
        return bool(datetime.now() - timedelta(minutes=10) >= ended)


app = Wrong().app
