"""Bug: an error message quotes a header that may be missing.

Symptom: a body without a content type is a 500.
Cure: headers.get(...), as each part of a request may be missing.
"""

from fastapi import Request
from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["odd_bodies_are_no_crash"]


class Wrong(Honest):
    async def invalid(self, request: Request, error: Exception) -> JSONResponse:
        if request.method == "POST":
            kind = request.headers["content-type"]
            return JSONResponse({"detail": f"{kind} that makes no sense"}, 400)
        return await super().invalid(request, error)


app = Wrong().app
