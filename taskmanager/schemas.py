"""The JSON contract as the documentation shows it: models of the responses, examples of the requests.

Rule: requests are validated by parameters.py. These models are never run for a response; a test holds every kind
of response against them instead.
"""

from typing import Annotated, Any, Literal

from fastapi.openapi.models import Example
from pydantic import BaseModel, Field, JsonValue

from taskmanager.models import TaskStatus
from taskmanager.parameters import Priority

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class TaskErrorView(BaseModel):
    code: Literal["task_failed", "timeout", "internal_error"]
    message: str


class TaskView(BaseModel):
    task_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    task_type: str
    parameters: dict[str, JsonValue]
    priority: Priority
    status: TaskStatus
    version: Annotated[int, Field(ge=1, description="Grows by 1 at each change of status.")]
    progress: Annotated[int, Field(ge=0, le=100, description="Never goes back; 100 exactly when completed.")]
    queue_position: Annotated[int | None, Field(description="Tasks that would run before; null once not queued.")]
    result: Annotated[dict[str, JsonValue] | None, Field(description="Set only when completed.")]
    error: Annotated[TaskErrorView | None, Field(description="Set only when failed.")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class Health(BaseModel):
    status: Annotated[Literal["ok", "degraded"], Field(description="degraded while a background loop is dead")]
    queued: int
    processing: int
    tasks: Annotated[int, Field(description="records kept")]
    waiting: Annotated[int, Field(description="open long polls")]
    workers: int
    queue_size: int
    restarts: Annotated[int, Field(description="times a background loop died and was started again")]


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Fault(BaseModel):
    """What is wrong, and where: a ``pointer`` into the body, or the ``parameter`` of the query or path."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class InvalidRequest(Problem):
    errors: list[Fault]


class RateLimited(Problem):
    violated_policies: Annotated[list[str], Field(alias="violated-policies")]


_EXAMPLES: list[dict[str, Any]] = [
    {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}},
    {"task_type": "generate_report", "parameters": {"title": "Quarterly figures", "sections": 3}},
    {"task_type": "count_primes", "parameters": {"limit": 1000000}, "priority": "low"},
    {"task_type": "simulate_failure", "parameters": {"kind": "crash"}, "priority": "high"},
]
EXAMPLES: dict[str, Example] = {each["task_type"]: {"summary": each["task_type"], "value": each} for each in _EXAMPLES}
