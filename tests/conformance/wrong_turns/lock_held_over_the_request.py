"""Bug: the limiter holds its lock until the request has been answered.

Symptom: one long poll stops everybody: requests are answered one after
another.
Cure: let go of the lock once it is decided whether the request is
allowed.
"""

import asyncio
from typing import Any

from tests.conformance.wrong_turns.honest import Honest, Limiter

CAUGHT_BY = ["wait_holds_up_nobody"]


class OneAtATime(Limiter):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        self.held = getattr(self, "held", None) or asyncio.Lock()
        async with self.held:
            await super().__call__(scope, receive, send)


class Wrong(Honest):
    def limiter_goes_first(self) -> None:
        self.app.add_middleware(OneAtATime, allow=self.allow)


app = Wrong().app
