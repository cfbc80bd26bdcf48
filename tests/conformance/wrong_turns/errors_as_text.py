"""Bug: an error is answered as plain text.

Symptom: a program that expects JSON breaks on the first error, when it
is needed most.
Cure: every error is JSON, also those of the middleware.
"""

from typing import Any

from fastapi.responses import PlainTextResponse

from tests.conformance.wrong_turns.honest import Honest, Limiter

CAUGHT_BY = ["too_many_is_json"]


class TextLimiter(Limiter):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (
            scope["type"] == "http"
            and scope["path"].startswith("/tasks")
            and not await self.allow(scope)
        ):
            await PlainTextResponse("ten requests a minute are the limit", 429)(
                scope, receive, send
            )
        else:
            await self.app(scope, receive, send)


class Wrong(Honest):
    def limiter_goes_first(self) -> None:
        self.app.add_middleware(TextLimiter, allow=self.allow)


app = Wrong().app
