"""OpenAPI: what FastAPI's document of this API would leave out or get
wrong.

Rule: the document says what the server does: 400 in place of FastAPI's
422, problem documents, the headers of each response, every status on
each route that can answer it, and an example for each task type.
"""

import re
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.openapi.models import Example
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from taskmanager import task_types
from taskmanager.task import TaskDict


class Problem(BaseModel):  # RFC 9457; errors come with 400, violated-policies with 429
    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: Annotated[
        list[dict[str, str]],
        Field(description="detail, and pointer or parameter, of each"),
    ] = []
    violated_policies: Annotated[list[str], Field(alias="violated-policies")] = []


_COUNTS = (
    "queued",
    "processing",
    "tasks",
    "waiting",
    "workers",
    "queue_size",
    "restarts",
)
_STATS = {"status": {"enum": ["ok", "degraded"]}} | {
    name: {"type": "integer"} for name in _COUNTS
}
_HEALTH = {
    "content": {
        "application/json": {"schema": {"type": "object", "properties": _STATS}}
    }
}
HEALTH: Any = {
    200: {"description": "ok"} | _HEALTH,
    503: {"description": "degraded"} | _HEALTH,
}

EXAMPLES: dict[str, Example] = {
    example["task_type"]: {"summary": example["task_type"], "value": example}
    for example in task_types.EXAMPLES
}


def _header(description: str, example: str) -> dict[str, Any]:
    return {
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


_ALWAYS = {
    "Cache-Control": _header(
        "Not to be stored: the next answer may differ.", "no-store"
    ),
    "RateLimit-Policy": _header("q requests in any w seconds", '"default";q=10;w=60'),
    "RateLimit": _header(
        "r requests are left; in t seconds the oldest no longer counts",
        '"default";r=9;t=60',
    ),
}
_SUBMITTED = {
    "Location": _header(
        "Where to poll the task.", "/tasks/1b4e28ba-2fa1-41d2-883f-0016d3cca427"
    ),
    "Retry-After": _header(
        "Whole seconds until the task can be expected to finish.", "5"
    ),
}
_CODES = {
    400: "invalid_request",
    404: "task_not_found",
    409: "task_finished",
    500: "internal_error",
}
_CODES |= {
    413: "body_too_large",
    422: "idempotency_key_reused",
    429: "rate_limited",
    503: "queue_full, shutting_down",
}


def responses(
    success: int, *errors: int, model: Any = TaskDict
) -> dict[int | str, Any]:
    """What a route under /tasks answers: a task, or a list of them;
    ``errors``; and what each may answer.
    """
    headers = _ALWAYS | (_SUBMITTED if success == 202 else {})
    found: dict[int | str, Any] = {
        success: {
            "model": model,
            "description": "The task or tasks",
            "headers": headers,
        }
    }
    if model is not TaskDict:
        found[success]["content"] = {
            "application/x-ndjson": {
                "schema": {"$ref": "#/components/schemas/TaskDict"}
            }
        }
    for status in sorted({*errors, 429, 500}):
        again = {
            "Retry-After": _header("Whole seconds to wait before trying again.", "30")
        }
        headers = _ALWAYS | (again if status in (429, 503) else {})
        found[status] = {
            "model": Problem,
            "description": _CODES[status],
            "headers": headers,
        }
    return found


# a String of RFC 9651, section 3.3.3
KEY = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"')
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "pattern": f"^{KEY.pattern}$"},
}
_KEY |= {
    "description": "Makes a retry safe: the same key and body again answer the task of the first time."
}
SUBMIT: Any = {
    "responses": responses(202, 400, 413, 422, 503),
    "openapi_extra": {"parameters": [_KEY]},
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of ``app``, made when first asked for."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        for operation in (
            operation
            for path in schema["paths"].values()
            for operation in path.values()
        ):
            if "headers" not in operation["responses"].get("422", ()):  # FastAPI's own
                operation["responses"].pop("422", None)
            for status, response in operation["responses"].items():
                if status >= "400" and "headers" in response:
                    response["content"]["application/problem+json"] = response[
                        "content"
                    ].pop("application/json")
        del (
            schema["components"]["schemas"]["HTTPValidationError"],
            schema["components"]["schemas"]["ValidationError"],
        )
        app.openapi_schema = schema
    return app.openapi_schema
