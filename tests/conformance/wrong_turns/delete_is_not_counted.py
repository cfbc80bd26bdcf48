"""Bug: the rate limit looks at GET and POST only.

Symptom: a client may send as many DELETEs as it likes.
Cure: count before it is known what the request is.
"""

from typing import Any

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["limit_covers_all_routes"]


class Wrong(Honest):
    async def allow(self, scope: Any) -> bool:
        return scope["method"] == "DELETE" or await super().allow(scope)


app = Wrong().app
