"""Bug: FastAPI's own 422 is left as it is.

Symptom: clients that were promised 400 meet a status that they do not
know.
Cure: an exception handler for RequestValidationError.
"""

from fastapi import Request
from fastapi.responses import JSONResponse

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["invalid_is_400"]


class Wrong(Honest):
    async def invalid(self, request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "validation failed"}, 422)


app = Wrong().app
