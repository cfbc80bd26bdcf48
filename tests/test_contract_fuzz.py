"""The contract, fuzzed by schemathesis.

It makes up requests that keep to the OpenAPI document, and others that
break it, and checks that each answer is one that the document
describes. No check is left out; there are no links to follow.

The default run sends the same requests each time. `FUZZ=50 python -m
pytest tests/test_contract_fuzz.py` sends fifty times as many, and
others each time.
"""

from concurrent.futures import Executor, Future
from itertools import count, cycle
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase

from taskmanager.api import create_app
from tests.helpers import FAILURE, PRIMES, REPORT, SUM, budget, settings


class NoAnswer(Executor):
    """Computes nothing.

    So ``count_primes`` costs nothing and holds its worker, and tasks
    are also seen to wait.
    """

    def submit(self, *_: Any, **__: Any) -> "Future[Any]":
        return Future()


# Whatever is sent fits in: a full queue answers 503, which no request
# can avoid.
ROOMY = {"wait_timeout": 0.01, "queue_size": 10**6, "max_tasks": 10**6}

# Schemathesis enters the lifespan with the first request of an
# operation, and ends it with the last.
OPEN = create_app(settings(rate_limit=10**9, **ROOMY), executor=NoAnswer())
LIMITED = create_app(settings(rate_limit=1), executor=NoAnswer())
DOCUMENT = OPEN.openapi()

# Schemathesis's own list, and 422: that a key came with another body
# before, no schema can say.
ACCEPTED = [
    "2xx",
    "3xx",
    "401",
    "403",
    "404",
    "409",
    "422",
    "429",
    "5xx",
]
CONFIG = schemathesis.Config.from_dict(
    {"checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}}
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)

BODIES = cycle([SUM, FAILURE, REPORT, PRIMES])
KEYS = (f'"{number}"' for number in count())


def submit() -> str:
    """Submit a task of another type than the last; its id."""
    operation = SCHEMA["/tasks"]["POST"]
    case = operation.Case(body=next(BODIES), media_type="application/json")
    task_id: str = case.call(app=OPEN).json()["task_id"]
    return task_id


def cancel(task_id: str) -> None:
    operation = SCHEMA["/tasks/{task_id}"]["DELETE"]
    operation.Case(path_parameters={"task_id": task_id}).call(app=OPEN)


def check(case: schemathesis.Case, **headers: str) -> None:
    response = case.call_and_validate(app=OPEN, headers=headers)

    operation = DOCUMENT["paths"][case.path].get(case.method.lower(), {})
    answer = operation.get("responses", {}).get(str(response.status_code), {})
    documented = answer.get("headers", {})
    # Schemathesis lets optional ones be missing.
    assert {name.lower() for name in documented} <= set(response.headers)


@pytest.mark.slow
@SCHEMA.parametrize()
@budget(100)
def test_each_answer_is_one_that_the_document_describes(
    case: schemathesis.Case,
) -> None:
    if case.headers and case.headers.get("Idempotency-Key") == "0":
        # In its coverage phase, schemathesis has headers of letters and
        # digits alone, and sends this with every body. Whether the case
        # is valid it works out again after the change.
        case.headers["Idempotency-Key"] = next(KEYS)

    check(case)

    if "task_id" in case.path_parameters and case.meta.generation.mode.is_positive:
        # The one made up is of no task.
        task_id = submit()
        case.path_parameters["task_id"] = task_id
        if case.path.endswith("/events"):
            # Its stream would go on for as long as the task does.
            cancel(task_id)
        check(case)

    if (case.method, case.path) == ("GET", "/tasks"):
        submit()
        check(case, Accept="application/x-ndjson")


@SCHEMA.parametrize()
@budget(10, phases=[Phase.generate])
def test_so_is_each_refusal_over_the_limit(case: schemathesis.Case) -> None:
    case.call(app=LIMITED)
    response = case.call_and_validate(app=LIMITED)
    assert (response.status_code == 429) == (case.path != "/health")
