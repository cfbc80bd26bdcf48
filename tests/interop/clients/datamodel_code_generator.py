"""Plays the models that datamodel-code-generator makes, with httpx.

``python datamodel_code_generator.py URL``, beside ``models.py``.
"""

import sys
from uuid import uuid4

import httpx
from models import (
    ComputeSum,
    ComputeSumSubmission,
    Problem,
    SimulateFailure,
    SimulateFailureSubmission,
    Stats,
    Task,
)
from pydantic import BaseModel, TypeAdapter

client = httpx.Client(base_url=sys.argv[1], timeout=30)
tasks: TypeAdapter[list[Task]] = TypeAdapter(list[Task])
# The first cannot be told from its neighbours as a floating-point
# number.
numbers: list[int | float] = [9007199254740993, 1]
sum_ = ComputeSumSubmission(
    task_type="compute_sum", parameters=ComputeSum(numbers=numbers)
)
failure = SimulateFailureSubmission(
    task_type="simulate_failure", parameters=SimulateFailure()
)


def submit(submission: BaseModel, key: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{key}"'}
    body = submission.model_dump_json()
    return client.post("/tasks", content=body, headers=headers)


def finished(task: Task) -> Task:
    """The task, once it has finished."""
    query: dict[str, str | int] = {"wait": "true", "since": 2}
    answer = client.get(f"/tasks/{task.task_id}", params=query)
    return Task.model_validate_json(answer.content)


def problem(status: int, answer: httpx.Response) -> Problem:
    assert answer.status_code == status
    return Problem.model_validate_json(answer.content)


submitted = Task.model_validate_json(submit(sum_, "a").content)
assert submitted.status.value == "queued"
assert submitted.parameters["numbers"] == numbers

completed = finished(submitted)
assert completed.status.value == "completed"
assert completed.result is not None
assert completed.result["sum"] == 9007199254740994

assert problem(422, submit(failure, "a")).code == "idempotency_key_reused"
failed = finished(Task.model_validate_json(submit(failure, "b").content))
assert failed.error is not None
assert failed.error.code.value == "task_failed"

listed = tasks.validate_json(client.get("/tasks?status=failed").content)
assert listed == [failed]

invalid = problem(400, client.get("/tasks?limit=0"))
assert invalid.errors is not None
assert [fault.parameter for fault in invalid.errors] == ["limit"]
assert problem(404, client.get(f"/tasks/{uuid4()}")).code == "task_not_found"
too_late = client.delete(f"/tasks/{completed.task_id}")
assert problem(409, too_late).code == "task_finished"

# That was the ninth request of this client; ten are allowed.
client.get("/tasks")
refused = problem(429, client.get("/tasks"))
assert refused.code == "rate_limited"
assert refused.violated_policies == ["default"]

counts = Stats.model_validate_json(client.get("/health").content)
assert counts.tasks == 2
