"""Bug: a counter makes the id.

Symptom: whoever has task 7 can read and cancel task 6, which is
somebody else's.
Cure: uuid4, which nobody can guess.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest, Submission

CAUGHT_BY = ["ids_are_uuids"]


class Wrong(Honest):
    def new_task(self, submission: Submission) -> dict[str, Any]:
        task = super().new_task(submission)
        return task | {"task_id": str(task["number"])}


app = Wrong().app
