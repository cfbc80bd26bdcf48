"""Plays the client that openapi-python-client generates.

``python openapi_python_client.py URL``, beside ``task_manager_client``.
"""

import sys
from http import HTTPStatus
from uuid import UUID, uuid4

from task_manager_client import Client
from task_manager_client.api.tasks import (
    cancel_task,
    get_task,
    health,
    list_tasks,
    submit_task,
)
from task_manager_client.models import (
    ComputeSum,
    ComputeSumSubmission,
    Problem,
    SimulateFailure,
    SimulateFailureSubmission,
    Stats,
    Task,
    TaskErrorCode,
    TaskStatus,
)
from task_manager_client.types import Unset

client = Client(base_url=sys.argv[1])
# The first cannot be told from its neighbours as a floating-point
# number.
numbers: list[float | int] = [9007199254740993, 1]
sum_ = ComputeSumSubmission("compute_sum", ComputeSum(numbers))
failure = SimulateFailureSubmission("simulate_failure", SimulateFailure())


def finished(task_id: UUID) -> Task:
    """The task, once it has finished."""
    task = get_task.sync(task_id, client=client, wait=True, since=2)
    assert isinstance(task, Task)
    return task


def code(answer: object) -> str:
    assert isinstance(answer, Problem)
    return answer.code


submitted = submit_task.sync(client=client, body=sum_, idempotency_key='"a"')
assert isinstance(submitted, Task)
assert submitted.status is TaskStatus.QUEUED
assert submitted.parameters["numbers"] == numbers
assert submitted.started_at is None

completed = finished(submitted.task_id)
assert completed.status is TaskStatus.COMPLETED
assert completed.result is not None
assert completed.result["sum"] == 9007199254740994
assert completed.error is None
assert completed.started_at is not None
assert completed.started_at >= completed.created_at

reused = submit_task.sync(client=client, body=failure, idempotency_key='"a"')
assert code(reused) == "idempotency_key_reused"

to_fail = submit_task.sync(client=client, body=failure)
assert isinstance(to_fail, Task)
failed = finished(to_fail.task_id)
assert failed.error is not None
assert failed.error.code is TaskErrorCode.TASK_FAILED
assert failed.error.message

listed = list_tasks.sync(client=client, status=TaskStatus.FAILED)
assert isinstance(listed, list)
assert [task.task_id for task in listed] == [failed.task_id]

invalid = list_tasks.sync(client=client, limit=0)
assert isinstance(invalid, Problem)
assert invalid.code == "invalid_request"
assert not isinstance(invalid.errors, Unset)
assert [fault.parameter for fault in invalid.errors] == ["limit"]

unfound = get_task.sync(uuid4(), client=client)
assert code(unfound) == "task_not_found"
too_late = cancel_task.sync(completed.task_id, client=client)
assert code(too_late) == "task_finished"

# That was the ninth request of this client; ten are allowed.
list_tasks.sync(client=client)
refused = list_tasks.sync_detailed(client=client)
assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
assert code(refused.parsed) == "rate_limited"
assert 1 <= int(refused.headers["Retry-After"]) <= 60

counts = health.sync(client=client)
assert isinstance(counts, Stats)
assert counts.tasks == 2
