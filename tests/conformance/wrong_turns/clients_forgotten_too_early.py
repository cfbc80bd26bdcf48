"""Bug: the cleanup forgets a client after half a minute.

Symptom: ten requests, half a minute of silence, and ten more are
accepted.
Cure: forget a client when its last request has left the window, and not
before.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["limit_lasts_a_minute"]


class Wrong(Honest):
    def forget_clients(self, now: float) -> None:
        for address, times in list(self.clients.items()):
            if not times or times[-1] <= now - 30:
                del self.clients[address]


app = Wrong().app
