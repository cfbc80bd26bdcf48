"""Problems: the one place where errors become responses, each a problem document (RFC 9457).

Rule: a document tells the client what it can mend, and nothing of what happened inside.
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.routing import Match

from taskmanager.errors import ShuttingDownError, TaskManagerError

MAX_FAULTS = 100  # named in one response; nobody mends ten thousand one by one


def problem(status: int, code: str, detail: str, *, retry_after: int | None = None, **members: Any) -> Response:
    """A problem document; ``members`` are added to the standard ones, or replace them."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code} | members
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Response(to_json(body), status, headers, media_type="application/problem+json")


def rate_limited(reset: int) -> Response:
    """429 as draft-ietf-httpapi-ratelimit-headers describes it."""
    members = {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "violated-policies": ["default"],
    }
    return problem(429, "rate_limited", f"Too many requests; try again in {reset} s.", retry_after=reset, **members)


def internal_error() -> Response:
    return problem(500, "internal_error", "Something went wrong on our side; the log has the details.")


async def from_task_manager(request: Request, error: Exception) -> Response:
    """What the engine refuses."""
    assert isinstance(error, TaskManagerError)
    return problem(error.status, error.code, str(error), retry_after=error.retry_after)


async def from_http(request: Request, error: Exception) -> Response:
    """What Starlette, FastAPI and the middleware refuse."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 400:  # FastAPI's answer to bad UTF-8, overlong integers and deep nesting
            return _invalid([{"detail": "The body cannot be read as JSON.", "pointer": "#"}])
        case 404:
            return problem(404, "not_found", "There is nothing at this path.")
        case 405:
            # Starlette's own Allow names the methods of the first route with this path, not of all.
            routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
            allowed = sorted({method for route in routes for method in route.methods})
            response = problem(405, "method_not_allowed", "This path has other methods; see Allow.")
            response.headers["Allow"] = ", ".join(allowed)
            return response
        case 413:
            return problem(413, "body_too_large", f"The body is larger than the server takes: {error.detail} bytes.")
        case 503:
            return await from_task_manager(request, ShuttingDownError())
        case _:
            return internal_error()


async def from_validation(request: Request, error: Exception) -> Response:
    """What pydantic refuses; without the input it complains about, which may not even be encodable."""
    assert isinstance(error, RequestValidationError)
    return _invalid([_fault(each, error.body) for each in error.errors()[:MAX_FAULTS]])


def _invalid(errors: list[dict[str, str]]) -> Response:
    return problem(400, "invalid_request", "The request is not valid; see errors.", errors=errors)


def _fault(error: dict[str, Any], body: Any) -> dict[str, str]:
    where, *path = error["loc"]
    if where != "body":
        return {"detail": error["msg"], "parameter": str(path[0])}
    match error["type"]:
        case "json_invalid":
            return {"detail": f"Not valid JSON: {error['ctx']['error']} at character {path[0]}.", "pointer": "#"}
        case "union_tag_invalid" | "union_tag_not_found":  # pydantic's own text repeats the input
            expected = error["ctx"].get("expected_tags", "one of the task types")
            return {"detail": f"Input should be {expected}", "pointer": "#/task_type"}
        case _ if isinstance(body, bytes):
            return {"detail": "Send JSON, with Content-Type: application/json.", "pointer": "#"}
        case _:
            # The first step is the task type, which pydantic adds to tell its models apart. The pointer is a URI
            # fragment (RFC 6901, section 6).
            steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path[1:])
            pointer = "".join("/" + quote(step, safe="~!$&'()*+,;=:@", errors="replace") for step in steps)
            return {"detail": error["msg"], "pointer": "#" + pointer}
