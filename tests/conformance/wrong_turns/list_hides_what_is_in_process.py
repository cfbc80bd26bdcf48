"""Bug: the list is made of what is queued and of what has ended.

Symptom: a task is not in the list while it is processed.
Cure: one store of all tasks, whatever their status is.
"""

from collections.abc import Iterable
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["list_has_all"]


class Wrong(Honest):
    def listed(self) -> Iterable[dict[str, Any]]:
        return [task for task in super().listed() if task["status"] != "processing"]


app = Wrong().app
