"""Schemas: what responses look like, in the words of the OpenAPI
document.

Rule: TaskDict and Stats say what a task and the counts are; nothing
here says it again.
"""

from typing import Annotated, Any

from fastapi.openapi.models import Example
from pydantic import BaseModel, Field

from taskmanager.manager import Stats
from taskmanager.task import TaskDict
from taskmanager.task_types import TASK_TYPES

NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"


class Problem(BaseModel):
    """A problem document (RFC 9457).

    ``errors`` come with 400, ``violated-policies`` with 429.
    """

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


# For each task type, a submission to try.
EXAMPLES: dict[str, Example] = {
    each.task_type: {
        "summary": each.task_type,
        "value": {"task_type": each.task_type, "parameters": each.example},
    }
    for each in TASK_TYPES
}

HEALTH: dict[int | str, dict[str, Any]] = {
    200: {"model": Stats, "description": "ok"},
    503: {"model": Stats, "description": "degraded"},
}


def _header(description: str, example: str) -> dict[str, Any]:
    return {
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


# Of every response under /tasks.
_ALWAYS = {
    "Cache-Control": _header("Not to be stored: the next may differ.", "no-store"),
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
_AGAIN = {"Retry-After": _header("Whole seconds to wait before trying again.", "30")}

_CODES = {
    400: "invalid_request",
    404: "task_not_found",
    409: "task_finished",
    413: "body_too_large",
    422: "idempotency_key_reused",
    429: "rate_limited",
    500: "internal_error",
    503: "queue_full, shutting_down",
}


# What a route answers where all is well.
TASK: dict[str, Any] = {
    "model": TaskDict,
    "description": "The task",
    "headers": _ALWAYS,
}
NEW_TASK = TASK | {"headers": _ALWAYS | _SUBMITTED}
TASKS: dict[str, Any] = {
    "model": list[TaskDict],
    "description": "The tasks; in NDJSON one a line",
    "headers": _ALWAYS,
    "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/TaskDict"}}},
}


def problems(*statuses: int) -> dict[int | str, Any]:
    """These errors, and those of every route under /tasks."""
    found: dict[int | str, Any] = {}
    for status in sorted({*statuses, 429, 500}):
        headers = _ALWAYS
        if status in (429, 503):
            headers = _ALWAYS | _AGAIN

        found[status] = {
            "model": Problem,
            "description": _CODES[status],
            "headers": headers,
        }
    return found
