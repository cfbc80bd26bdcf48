"""OpenAPI: what FastAPI's document of this API would leave out or get wrong.

Rule: the document says what the server does: 400 in place of FastAPI's 422, problem documents, the headers of each
response, and every status on each route that can answer it.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from taskmanager.schemas import InvalidRequest, Problem, RateLimited, TaskView

Responses = dict[int | str, dict[str, Any]]


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


_ALWAYS = {
    "Cache-Control": _header("Not to be stored: the next answer may differ.", "no-store"),
    "RateLimit-Policy": _header("q requests in any w seconds", '"default";q=10;w=60'),
    "RateLimit": _header("r requests are left; in t seconds the oldest no longer counts", '"default";r=9;t=60'),
}
_AGAIN = {"Retry-After": _header("Whole seconds to wait before trying again.", "30")}
_SUBMITTED = {
    "Location": _header("Where to poll the task.", "/tasks/1b4e28ba-2fa1-41d2-883f-0016d3cca427"),
    "Retry-After": _header("Whole seconds until the task can be expected to finish.", "5"),
}
_PROBLEMS: dict[int, tuple[type[Problem], str, dict[str, Any]]] = {
    400: (InvalidRequest, "invalid_request: what is wrong, and where", {}),
    404: (Problem, "task_not_found: unknown, or cleaned up", {}),
    409: (Problem, "task_finished: completed or failed already", {}),
    413: (Problem, "body_too_large", {}),
    429: (RateLimited, "rate_limited: waiting for Retry-After always succeeds", _AGAIN),
    500: (Problem, "internal_error", {}),
    503: (Problem, "queue_full or shutting_down", _AGAIN),
}


def responses(success: int, *errors: int, listing: bool = False) -> Responses:
    """What a route under /tasks answers: a task, or a list of them; ``errors``; and what each may answer."""
    headers = _ALWAYS | (_SUBMITTED if success == 202 else {})
    found: Responses = {success: {"model": TaskView, "description": "The task", "headers": headers}}
    if listing:
        ndjson = {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/TaskView"}}}
        found[success] |= {"model": list[TaskView], "description": "The tasks, streamed", "content": ndjson}
    for status in sorted({*errors, 429, 500}):
        model, description, extra = _PROBLEMS[status]
        found[status] = {"model": model, "description": description, "headers": _ALWAYS | extra}
    return found


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of ``app``, made when first asked for."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        operations = [operation for path in schema["paths"].values() for operation in path.values()]
        for operation in operations:
            operation["responses"].pop("422", None)
            for status, response in operation["responses"].items():
                if status >= "400" and "headers" in response:
                    response["content"]["application/problem+json"] = response["content"].pop("application/json")
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema
