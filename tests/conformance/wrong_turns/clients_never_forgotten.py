"""Bug: the limiter keeps an entry for every address that ever asked.

Symptom: memory grows with each new client, for as long as the process
lives.
Cure: forget a client whose requests have all left the window, and keep
no more than so many.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["limiter_forgets"]


class Wrong(Honest):
    def forget_clients(self, now: float) -> None:
        pass


app = Wrong().app
