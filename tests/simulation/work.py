"""Tasks whose end is known beforehand, and handlers with bad habits.

Rule: how a task ends, when, and with what result is written down here
when it is made up, by other means than the engine's. A report whose
title is one of the HABITS is handled badly.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from fractions import Fraction
from typing import Any, NamedTuple

Run = Callable[[str, Any, Any], Awaitable[dict[str, Any]]]

HABITS = (
    "hangs",  # would take an hour
    "stubborn",  # ignores its cancellation and works to its end
    "gives up",  # raises CancelledError although nobody has cancelled it
    "kills its worker",
)


class Work(NamedTuple):
    """A task as it is submitted, and how it is to end where nobody
    cancels it.
    """

    task_type: str
    submitted: dict[str, Any]
    parameters: dict[str, Any]  # as the API shows them: with the defaults filled in
    seconds: float  # in process
    result: dict[str, Any] | None = None
    error: str | None = None  # the code of its failure
    message: str | None = None  # and the message, where the client has chosen it
    shows_progress: bool = True  # each second
    habit: str | None = None

    @property
    def simulated(self) -> int:
        """How long the API expects it to take."""
        sections: int = self.parameters.get("sections", 0)
        return {"generate_report": 10 + sections, "count_primes": 0}.get(
            self.task_type, 5
        )


def make_work(rng: random.Random) -> Work:
    """Some work, any kind of it."""
    (make,) = rng.choices(
        (_sum, _report, _primes, _failure, _bad_habit), (40, 20, 10, 15, 15)
    )
    return make(rng)


def _sum(rng: random.Random) -> Work:
    numbers: list[Any] = [
        rng.randrange(-(10**30), 10**30) for _ in range(rng.randint(1, 5))
    ]
    if rng.random() < 0.3:
        numbers = [rng.randrange(-(10**9), 10**9) / 1000 for _ in numbers]
    if rng.random() < 0.1:
        numbers = [1e308, 1e308]
    parameters, total = {"numbers": numbers}, sum(map(Fraction, numbers), Fraction())
    if abs(total) > 10**308:
        return Work("compute_sum", parameters, parameters, 5, error="task_failed")
    result = {"sum": int(total) if type(numbers[0]) is int else float(total)}
    return Work("compute_sum", parameters, parameters, 5, result)


def _report(rng: random.Random) -> Work:
    submitted: dict[str, Any] = {"title": f"Report {rng.randrange(1000)}"}
    if rng.random() < 0.7:
        submitted["sections"] = rng.randint(1, 20)
    parameters = {"sections": 5} | submitted
    result = {"title": submitted["title"], "report": parameters["sections"]}
    return Work(
        "generate_report", submitted, parameters, 10 + parameters["sections"], result
    )


def _primes(rng: random.Random) -> Work:
    limit = rng.randrange(200)
    count = sum(
        all(number % divisor for divisor in range(2, number))
        for number in range(2, limit + 1)
    )
    return Work(
        "count_primes",
        {"limit": limit},
        {"limit": limit},
        0,
        {"count": count},
        shows_progress=False,
    )


def _failure(rng: random.Random) -> Work:
    kind = rng.choice(("task_failed", "timeout", "crash"))
    submitted = {"kind": kind} | (
        {"message": f"Failure {rng.randrange(1000)}"} if rng.random() < 0.5 else {}
    )
    parameters = {"message": "This failure was asked for."} | submitted
    error, message = {"crash": ("internal_error", None)}.get(
        kind, (kind, parameters["message"])
    )
    return Work(
        "simulate_failure", submitted, parameters, 5, error=error, message=message
    )


def _bad_habit(rng: random.Random) -> Work:
    habit = rng.choice(HABITS)
    work = _report(rng)
    title = {"title": habit}
    work = work._replace(
        submitted=work.submitted | title,
        parameters=work.parameters | title,
        habit=habit,
    )
    match habit:
        case "stubborn":
            return work._replace(result=(work.result or {}) | title)
        case "hangs":
            return work._replace(seconds=3600, result={}, shows_progress=False)
        case "gives up":
            return work._replace(
                seconds=1, result=None, error="internal_error", shows_progress=False
            )
        case _:
            return work._replace(
                seconds=0, result=None, error="internal_error", shows_progress=False
            )


def with_habits(run: Run) -> Run:
    """The engine's ``task_types.run``, but for reports with a habit."""

    async def run_with_habits(
        task_type: str, parameters: Any, tools: Any
    ) -> dict[str, Any]:
        match getattr(parameters, "title", None):
            case "hangs":
                await asyncio.sleep(3600)
            case "gives up":
                await asyncio.sleep(1)
                raise asyncio.CancelledError
            case "stubborn":
                doing = asyncio.ensure_future(run(task_type, parameters, tools))
                while not doing.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.shield(doing)
                return doing.result()
        return await run(task_type, parameters, tools)

    return run_with_habits


class AtOnce(Executor):
    """Counts primes right here: another process would not hold virtual
    time back.
    """

    def submit(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future
