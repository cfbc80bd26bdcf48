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


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retry_after: int | None = None,
    **members: Any,
) -> Response:
    """A problem document; ``members`` are added to the standard ones,
    or replace them.
    """
    title = HTTPStatus(status).phrase
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    } | members
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Response(
        to_json(body), status, headers, media_type="application/problem+json"
    )


def invalid(*faults: dict[str, str]) -> Response:
    return problem(
        400, "invalid_request", "The request is not valid; see errors.", errors=faults
    )


def rate_limited(reset: int) -> Response:
    kind = "https://iana.org/assignments/http-problem-types#quota-exceeded"
    members = {
        "type": kind,
        "title": "Quota exceeded",
        "violated-policies": ["default"],
    }
    return problem(
        429,
        "rate_limited",
        f"The next request is accepted in {reset} s.",
        retry_after=reset,
        **members,
    )


async def answer(request: Request, error: Exception) -> Response:
    """The response to an error, whether the engine, pydantic, FastAPI
    or the middleware raised it.
    """
    match error:
        case TaskManagerError():
            return problem(
                error.status, error.code, str(error), retry_after=error.retry_after
            )
        case RequestValidationError():
            # nobody mends ten thousand
            return invalid(*(_fault(each, error.body) for each in error.errors()[:100]))
        # what FastAPI makes of bad UTF-8, overlong integers and deep
        # nesting
        case HTTPException(status_code=400):
            return invalid(
                {"detail": "The body cannot be read as JSON.", "pointer": "#"}
            )
        case HTTPException(status_code=404):
            return problem(404, "not_found", "There is nothing at this path.")
        case HTTPException(status_code=405):
            # Starlette's own Allow names the methods of the first route
            # with this path, not of all.
            routes = [
                route
                for route in request.app.routes
                if route.matches(request.scope)[0] is not Match.NONE
            ]
            response = problem(
                405, "method_not_allowed", "This path has other methods; see Allow."
            )
            methods = {
                method for route in routes for method in getattr(route, "methods", ())
            } or {"GET", "HEAD"}
            response.headers["Allow"] = ", ".join(sorted(methods))
            return response
        case HTTPException(status_code=413):
            return problem(413, "body_too_large", error.detail)
        case HTTPException(status_code=503):
            return problem(503, "shutting_down", error.detail, retry_after=5)
        case _:
            return problem(
                500,
                "internal_error",
                "Something went wrong on our side; the log has the details.",
            )


def _fault(error: dict[str, Any], body: Any) -> dict[str, str]:
    """What is wrong and where, without the input, which may not even be
    encodable.
    """
    where, *path = error["loc"]
    if where != "body":
        return {"detail": error["msg"], "parameter": str(path[0])}
    match error["type"]:
        case "json_invalid":
            return {
                "detail": f"Not valid JSON: {error['ctx']['error']} at character {path[0]}.",
                "pointer": "#",
            }
        # pydantic's own text repeats the input
        case "union_tag_invalid" | "union_tag_not_found":
            expected = error["ctx"].get("expected_tags", "one of the task types")
            return {"detail": f"Input should be {expected}", "pointer": "#/task_type"}
        case _ if isinstance(body, bytes):
            return {
                "detail": "Send JSON, with Content-Type: application/json.",
                "pointer": "#",
            }
        case _:
            # The first step is the task type, by which pydantic tells
            # its models apart; the rest is the pointer, as a URI
            # fragment (RFC 6901, section 6).
            steps = (
                str(step).replace("~", "~0").replace("/", "~1") for step in path[1:]
            )
            pointer = "".join(
                "/" + quote(step, safe="~!$&'()*+,;=:@") for step in steps
            )
            # pydantic shows the pattern
            plain = {
                "string_pattern_mismatch": "Input should have no control characters"
            }
            return {
                "detail": plain.get(error["type"], error["msg"]),
                "pointer": "#" + pointer,
            }
