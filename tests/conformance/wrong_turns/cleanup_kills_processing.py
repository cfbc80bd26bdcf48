"""Bug: the cleanup removes old tasks, finished or not.

Symptom: a task that waits in a long queue vanishes some minutes after
its submission, and its client is answered 404.
Cure: only what is finished may go.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import FINAL, Honest

CAUGHT_BY = ["unfinished_is_not_removed"]


class Wrong(Honest):
    def is_old(self, task: dict[str, Any], now: float) -> bool:
        unfinished_and_old = (
            task["status"] not in FINAL and task["created"] + 150 <= now
        )
        return unfinished_and_old or super().is_old(task, now)

    def remove(self, task_id: str) -> None:
        run = self.running.get(task_id)
        super().remove(task_id)
        if run is not None:
            run.cancel()


app = Wrong().app
