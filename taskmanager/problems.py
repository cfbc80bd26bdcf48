"""Problems: the one place where errors become responses, each a problem
document (RFC 9457).

Rule: a document tells the client what it can mend, and nothing of what
happened inside.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match

from taskmanager.errors import TaskManagerError
from taskmanager.estimate import whole_seconds
from taskmanager.schemas import PROBLEM
from taskmanager.task_types import TASK_TYPES, Submission

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
# What has an answer of its own; all else is a fault of ours.
EXPECTED = (TaskManagerError, RequestValidationError, ValidationError, HTTPException)
# Nobody mends ten thousand faults of one request.
MOST_FAULTS = 100
# What the parameters of some task type have.
PARAMETERS = {name for each in TASK_TYPES for name in each.model_fields}

logger = logging.getLogger(__name__)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retry_after: int | None = None,
    **members: Any,
) -> Response:
    """The response that is a problem document.

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

    body = to_json(document | members)
    return Response(body, status, headers, media_type=PROBLEM)


def invalid(faults: list[dict[str, str]], count: int = 1) -> Response:
    """400, with what is wrong and where: some of ``count`` faults."""
    detail = f"Faults in the request: {count}; see errors."
    return problem(400, "invalid_request", detail, errors=faults)


def rate_limited(reset: int) -> Response:
    """429: the next request is accepted in ``reset`` whole seconds."""
    members = {
        "type": QUOTA_EXCEEDED,
        "title": "Quota exceeded",
        "violated-policies": ["default"],
    }
    detail = f"The next request is accepted in {reset} s."
    return problem(
        429, "rate_limited", detail, retry_after=whole_seconds(reset), **members
    )


async def no_route(*call: object) -> None:
    """What the router does where no route has the path.

    Its own would refuse a WebSocket handshake in another way.
    """
    raise HTTPException(404)


async def answer(request: HTTPConnection, error: Exception) -> Response:
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
        case ValidationError() | RequestValidationError():
            errors = await _errors(error)
            faults = [_fault(each) for each in errors[:MOST_FAULTS]]
            return invalid(faults, len(errors))
        case HTTPException(status_code=400):
            detail = (
                "The body cannot be read: send JSON in UTF-8, as application/json, "
                "without a byte order mark and without Content-Encoding."
            )
            return invalid([{"detail": detail, "pointer": "#"}])
        case HTTPException(status_code=404):
            return problem(404, "not_found", "There is nothing at this path.")
        case HTTPException(status_code=405):
            detail = "This path has other methods; see Allow."
            response = problem(405, "method_not_allowed", detail)
            response.headers["Allow"] = ", ".join(_methods(request))
            return response
        case HTTPException(status_code=413):
            return problem(413, "body_too_large", error.detail)
        case _:
            logger.error("a request could not be answered", exc_info=error)
            detail = "Something went wrong on our side; the log has the details."
            return problem(500, "internal_error", detail)


def _methods(request: HTTPConnection) -> list[str]:
    """All methods of the request's path.

    Starlette's own Allow names those of the first route with this path.
    """
    methods: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods.update(getattr(route, "methods", ()))

    # A mounted folder of files is no route of this path.
    return sorted(methods or {"GET", "HEAD"})


async def _errors(error: ValidationError | RequestValidationError) -> list[Any]:
    """All that is wrong.

    Where the task type is missing or unknown, pydantic looks no
    further: what no type accepts is named here.
    """
    if isinstance(error, RequestValidationError):
        return list(error.errors())

    count = error.error_count()
    if count > MOST_FAULTS:
        # To write ten thousand out takes as long as to find them: three
        # turns of the loop let a request between.
        for _ in range(3):
            await asyncio.sleep(0)

    # What nobody reads is not written.
    errors = error.errors(
        include_url=False, include_context=False, include_input=count == 1
    )
    last = errors[-1]
    if "union_tag" not in last["type"]:
        return errors

    given = last["input"]
    parameters = given.get("parameters")
    types = ", ".join(each.task_type for each in TASK_TYPES)
    faults: list[Any] = [
        {"loc": ("", "task_type"), "msg": f"Input should be one of {types}"}
    ]

    # What all types have in common is checked without it.
    common = {**given, "task_type": ""}
    if isinstance(parameters, dict):
        common["parameters"] = {}
        faults += [
            {"loc": ("", "parameters", name), "msg": "Extra inputs are not permitted"}
            for name in parameters
            if name not in PARAMETERS
        ]

    try:
        Submission.model_validate(common)
    except ValidationError as others:
        for fault in others.errors(include_url=False):
            faults.append({**fault, "loc": ("", *fault["loc"])})
    return faults


def _fault(error: dict[str, Any]) -> dict[str, str]:
    """What is wrong and where.

    The input is left out, since it may not even be encodable.
    """
    detail = error["msg"]
    # The first step is the task type, by which pydantic tells its
    # models apart, or FastAPI's word for a part of the request.
    path = error["loc"][1:]
    match error:
        case {"loc": ("query" | "path", name)}:
            return {"detail": detail, "parameter": name}
        case {"type": "string_pattern_mismatch"}:
            # Pydantic's own text shows the pattern.
            detail = "Input should have no control characters"
        case {"type": "model_type" | "model_attributes_type"}:
            # Pydantic's own texts speak of Python.
            detail = "Input should be an object"

    return {"detail": detail, "pointer": "#" + _pointer(path)}


def _pointer(path: tuple[str | int, ...]) -> str:
    """A JSON pointer as a URI fragment, without its ``#``.

    Its form is that of RFC 6901, section 6.
    """
    pointer = ""
    for step in path:
        escaped = str(step).replace("~", "~0").replace("/", "~1")
        pointer += "/" + quote(escaped, safe="~!$&'()*+,;=:@", errors="replace")
    return pointer
