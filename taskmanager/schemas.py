"""Schemas: what responses look like, in the words of the OpenAPI
document.

Rule: TaskDict and Stats say what a task and the counts are; nothing
here says it again.
"""

from typing import Any

from fastapi.openapi.models import Example
from pydantic import BaseModel, Field

from taskmanager.task_types import TASK_TYPES

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
PROBLEM = "application/problem+json"


# Models, since pydantic makes the schema of a TypedDict anew for each
# response that has it, and a start would take longer. A default would
# stand in the document; a default_factory does not.


class Fault(BaseModel):
    """What is wrong, and where: in the body, or in which parameter."""

    detail: str
    pointer: str = Field(default_factory=str)
    parameter: str = Field(default_factory=str)


class Problem(BaseModel):
    """A problem document (RFC 9457).

    ``errors`` come with 400, ``violated-policies`` with 429.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Fault] = Field(default_factory=list)
    violated_policies: list[str] = Field(
        default_factory=list, alias="violated-policies"
    )


# For each task type, a submission to try.
EXAMPLES: dict[str, Example] = {
    each.task_type: {
        "summary": each.task_type,
        "value": {"task_type": each.task_type, "parameters": each.example},
    }
    for each in TASK_TYPES
}

# Of the responses: what their headers tell.
HEADERS = {
    "Location": "Where to poll the task.",
    "Retry-After": "Whole seconds after which it is worth asking again.",
    "Cache-Control": "Not to be stored: the next may differ.",
    "X-Accel-Buffering": "Keeps nginx from holding events back.",
    "RateLimit-Policy": "q requests in any w seconds; missing without a limit.",
    "RateLimit": "r requests are left; in t seconds the oldest no longer counts.",
}

# No schema of OpenAPI 3.1 describes a line: to it, NDJSON is text.
LINES: dict[int | str, Any] = {
    200: {
        "content": {
            NDJSON: {"schema": {"type": "string", "description": "A task on each line"}}
        }
    }
}

# Beside another form of the response.
A_PROBLEM = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
# To some tools an event is an object, to others a text. 204 keeps a
# browser from asking again for a stream that has ended.
STREAM: dict[int | str, Any] = {
    200: {"content": {EVENTS: {"schema": {"description": "A task in each data"}}}},
    204: {"description": "You have seen the final event"},
}


def problems(*statuses: int) -> dict[int | str, Any]:
    """These errors, and those of every route under /tasks."""
    of_every_route = (429, 500, 503)
    return {
        status: {"model": Problem} for status in sorted({*statuses, *of_every_route})
    }
