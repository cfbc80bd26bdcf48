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
    # Would take an hour.
    "hangs",
    # Ignores its cancellation and works to its end.
    "stubborn",
    # Raises CancelledError although nobody has cancelled it.
    "gives up",
    "kills its worker",
)


class Work(NamedTuple):
    """A task as it is submitted, and how it is to end.

    That is its end where nobody cancels it.
    """

    task_type: str
    submitted: dict[str, Any]
    # As the API shows them: with the defaults filled in.
    parameters: dict[str, Any]
    seconds: float  # in process
    result: dict[str, Any] | None = None
    # The code of its failure, and the message, where the client has
    # chosen it.
    error: str | None = None
    message: str | None = None
    shows_progress: bool = True  # each second
    habit: str | None = None

    @property
    def simulated(self) -> int:
        """How long the API expects it to take."""
        match self.task_type:
            case "generate_report":
                sections: int = self.parameters["sections"]
                return 10 + sections
            case "count_primes":
                return 0
            case _:
                return 5


def make_work(rng: random.Random) -> Work:
    """Some work, any kind of it."""
    shares: dict[Callable[[random.Random], Work], int] = {
        _sum: 40,
        _report: 20,
        _primes: 10,
        _failure: 15,
        _bad_habit: 15,
    }
    (make,) = rng.choices(list(shares), list(shares.values()))
    return make(rng)


def _sum(rng: random.Random) -> Work:
    count = rng.randint(1, 5)
    numbers: list[Any] = [rng.randrange(-(10**30), 10**30) for _ in range(count)]
    if rng.random() < 0.3:
        numbers = [rng.randrange(-(10**9), 10**9) / 1000 for _ in numbers]
    if rng.random() < 0.1:
        numbers = [1e308, 1e308]

    parameters = {"numbers": numbers}
    total = sum(map(Fraction, numbers), Fraction())
    if abs(total) > 10**308:
        return Work("compute_sum", parameters, parameters, 5, error="task_failed")

    whole = isinstance(numbers[0], int)
    shown = int(total) if whole else float(total)
    return Work("compute_sum", parameters, parameters, 5, {"sum": shown})


def _report(rng: random.Random) -> Work:
    submitted: dict[str, Any] = {"title": f"Report {rng.randrange(1000)}"}
    if rng.random() < 0.7:
        submitted["sections"] = rng.randint(1, 20)

    parameters = {"sections": 5} | submitted
    sections = parameters["sections"]
    result = {"title": submitted["title"], "report": sections}
    return Work("generate_report", submitted, parameters, 10 + sections, result)


def _primes(rng: random.Random) -> Work:
    limit = rng.randrange(200)
    count = sum(
        all(number % divisor for divisor in range(2, number))
        for number in range(2, limit + 1)
    )
    parameters = {"limit": limit}
    return Work(
        "count_primes",
        parameters,
        parameters,
        seconds=0,
        result={"count": count},
        shows_progress=False,
    )


def _failure(rng: random.Random) -> Work:
    kind = rng.choice(("task_failed", "timeout", "crash"))
    submitted = {"kind": kind}
    if rng.random() < 0.5:
        submitted["message"] = f"Failure {rng.randrange(1000)}"

    parameters = {"message": "This failure was asked for."} | submitted
    failure = Work("simulate_failure", submitted, parameters, seconds=5)
    if kind == "crash":
        # What it says is the engine's own affair.
        return failure._replace(error="internal_error")
    return failure._replace(error=kind, message=parameters["message"])


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
            result = {"title": habit, "report": work.parameters["sections"]}
            return work._replace(result=result)
        case "hangs":
            return work._replace(seconds=3600, result={}, shows_progress=False)
        case "gives up":
            seconds = 1
        case _:
            seconds = 0
    return work._replace(
        seconds=seconds,
        result=None,
        error="internal_error",
        shows_progress=False,
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
    """Counts primes right here.

    Another process would not hold virtual time back.
    """

    def submit(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future
