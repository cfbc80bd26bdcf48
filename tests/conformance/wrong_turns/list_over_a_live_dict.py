"""Bug: the stream iterates over the dict of tasks itself.

Symptom: a task that comes while the list awaits its client breaks it:
dictionary changed size during iteration.
Cure: iterate over a snapshot, or in pages.
"""

from collections.abc import Iterable
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["list_survives_changes"]


class Wrong(Honest):
    def listed(self) -> Iterable[dict[str, Any]]:
        return self.tasks.values()


app = Wrong().app
