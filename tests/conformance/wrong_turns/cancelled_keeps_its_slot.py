"""Bug: a cancelled task stays in the bounded queue.

Symptom: 503 though nothing is queued, until a worker has time to throw
the tombstones away.
Cure: take it out of the queue, or count what is queued rather than what
the queue holds.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["cancel_frees_place"]


class Wrong(Honest):
    def full(self) -> bool:
        return self.queue.qsize() >= 100


app = Wrong().app
