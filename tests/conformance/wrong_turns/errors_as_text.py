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
    def refusal(self) -> Any:
        return PlainTextResponse("ten requests a minute are the limit", 429)


class Wrong(Honest):
    def limiter_goes_first(self) -> None:
        self.app.add_middleware(TextLimiter, allow=self.allow)


app = Wrong().app
