"""Bug: the client is whoever X-Forwarded-For names.

Symptom: a new address in the header for each request, and there is no
limit.
Cure: take the peer from the server; forwarding headers are for the
server, which knows its proxies.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["header_is_not_trusted"]


class Wrong(Honest):
    def address(self, scope: Any) -> str:
        forwarded = dict(scope["headers"]).get(b"x-forwarded-for")
        if forwarded is None:
            return super().address(scope)
        return str(forwarded.decode())


app = Wrong().app
