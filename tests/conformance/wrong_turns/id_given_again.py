"""Bug: the number of tasks makes the id.

Symptom: once tasks have been removed, a new one gets an id that was
given before, and replaces who has it.
Cure: a counter that only goes up, or uuid4.
"""

import uuid
from typing import Any

from tests.conformance.wrong_turns.honest import Honest, Submission

CAUGHT_BY = ["ids_differ"]


class Wrong(Honest):
    def new_task(self, submission: Submission) -> dict[str, Any]:
        number = len(self.tasks) + 1
        return super().new_task(submission) | {"task_id": str(uuid.UUID(int=number))}


app = Wrong().app
