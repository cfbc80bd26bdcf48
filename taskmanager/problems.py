"""Problems: the one place where errors become responses, each a problem
document (RFC 9457).

Rule: a document tells the client what it can mend, and nothing of what
happened inside.
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.routing import Match

from taskmanager.errors import TaskManagerError
from taskmanager.estimate import whole_seconds
from taskmanager.schemas import PROBLEM

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
# Nobody mends ten thousand faults of one request.
MOST_FAULTS = 100


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retry_after: int | None = None,
    **members: Any,
) -> Response:
    """A problem document.

    ``members`` are added to the standard ones, or replace them;
    ``retry_after`` is in whole seconds.
    """
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    headers = {}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)

    return Response(to_json(document | members), status, headers, PROBLEM)


def invalid(*faults: dict[str, str]) -> Response:
    """400, with what is wrong and where."""
    detail = "The request is not valid; see errors."
    return problem(400, "invalid_request", detail, errors=faults)


def rate_limited(reset: int) -> Response:
    """429, where the next request is accepted in ``reset`` whole
    seconds.
    """
    members = {
        "type": QUOTA_EXCEEDED,
        "title": "Quota exceeded",
        "violated-policies": ["default"],
    }
    detail = f"The next request is accepted in {reset} s."
    return problem(
        429, "rate_limited", detail, retry_after=whole_seconds(reset), **members
    )


async def answer(request: Request, error: Exception) -> Response:
    """The response to an error.

    It may come from the engine, pydantic, FastAPI or the middleware.
    """
    match error:
        case TaskManagerError():
            return problem(
                error.status,
                error.code,
                str(error),
                retry_after=error.retry_after,
            )
        case RequestValidationError():
            faults = error.errors()[:MOST_FAULTS]
            return invalid(*[_fault(fault, error.body) for fault in faults])
        case HTTPException(status_code=400):
            # What FastAPI makes of bad UTF-8, overlong integers and
            # deep nesting.
            detail = "The body cannot be read as JSON."
            return invalid({"detail": detail, "pointer": "#"})
        case HTTPException(status_code=404):
            return problem(404, "not_found", "There is nothing at this path.")
        case HTTPException(status_code=405):
            detail = "This path has other methods; see Allow."
            response = problem(405, "method_not_allowed", detail)
            response.headers["Allow"] = ", ".join(_methods(request))
            return response
        case HTTPException(status_code=413):
            return problem(413, "body_too_large", error.detail)
        case HTTPException(status_code=503):
            return problem(503, "shutting_down", error.detail, retry_after=5)
        case _:
            detail = "Something went wrong on our side; the log has the details."
            return problem(500, "internal_error", detail)


def _methods(request: Request) -> list[str]:
    """All methods of the request's path.

    Starlette's own Allow names those of the first route with this path.
    """
    methods: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= route.methods

    # A mounted folder of files is no route of this path.
    return sorted(methods or {"GET", "HEAD"})


def _fault(error: dict[str, Any], body: Any) -> dict[str, str]:
    """What is wrong and where.

    The input is left out, since it may not even be encodable.
    """
    where, *path = error["loc"]
    if where != "body":
        return {"detail": error["msg"], "parameter": str(path[0])}

    if isinstance(body, bytes):
        detail = "Send JSON, with Content-Type: application/json."
        return {"detail": detail, "pointer": "#"}

    match error["type"]:
        case "json_invalid":
            reason = error["ctx"]["error"]
            detail = f"Not valid JSON: {reason} at character {path[0]}."
            return {"detail": detail, "pointer": "#"}
        case "union_tag_invalid" | "union_tag_not_found":
            # Pydantic's own text repeats the input.
            expected = error["ctx"].get("expected_tags", "one of the task types")
            return {"detail": f"Input should be {expected}", "pointer": "#/task_type"}
        case "string_pattern_mismatch":
            # Pydantic's own text shows the pattern.
            detail = "Input should have no control characters"
        case _:
            detail = error["msg"]

    # The first step is the task type, by which pydantic tells its
    # models apart.
    return {"detail": detail, "pointer": "#" + _pointer(path[1:])}


def _pointer(path: list[str | int]) -> str:
    """A JSON pointer as a URI fragment, without its ``#`` (RFC 6901,
    section 6).
    """
    pointer = ""
    for step in path:
        escaped = str(step).replace("~", "~0").replace("/", "~1")
        pointer += "/" + quote(escaped, safe="~!$&'()*+,;=:@")
    return pointer
