"""Bug: the id in the path is taken for a UUID without a check.

Symptom: GET or DELETE /tasks/abc is a 500.
Cure: look the text up as it is, or answer 404 where it is no UUID.
"""

import uuid
from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["malformed_id_is_no_crash"]


class Wrong(Honest):
    def find(self, task_id: str) -> dict[str, Any]:
        return super().find(str(uuid.UUID(task_id)))


app = Wrong().app
