"""Bug: the queue is full when 99 tasks wait.

Symptom: the hundredth is answered 503.
Cure: refuse when 100 wait already.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["full_is_503"]


class Wrong(Honest):
    def full(self) -> bool:
        statuses = [task["status"] for task in self.tasks.values()]
        return statuses.count("queued") > 98


app = Wrong().app
