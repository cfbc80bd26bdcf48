"""Bug: the limiter knows a client by address and port.

Symptom: each new connection has a limit of its own, so that whoever
reconnects is never refused.
Cure: take the address alone.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["eleventh_is_429"]


class Wrong(Honest):
    def address(self, scope: Any) -> str:
        address, port = scope["client"]
        return f"{address}:{port}"


app = Wrong().app
