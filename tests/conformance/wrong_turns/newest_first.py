"""Bug: the list begins with the newest task.

Symptom: tasks are not listed as they were submitted.
Cure: a dict keeps the order in which tasks came; leave it so.
"""

from collections.abc import Iterable
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["list_keeps_the_order"]


class Wrong(Honest):
    def listed(self) -> Iterable[dict[str, Any]]:
        return list(reversed(self.tasks.values()))


app = Wrong().app
