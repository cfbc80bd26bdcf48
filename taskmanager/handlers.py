"""Handlers: what each task type does.

Rule: a handler returns a result or raises; at each ``await`` it can be
cancelled, and it lets CancelledError pass.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from taskmanager import sieve
from taskmanager.errors import TaskFailedError
from taskmanager.models import Result
from taskmanager.parameters import (
    ComputeSum,
    CountPrimes,
    GenerateReport,
    Parameters,
    SimulateFailure,
)

FAILURES = {
    "task_failed": TaskFailedError,
    "timeout": asyncio.TimeoutError,
    "crash": RuntimeError,
}


class Tools(NamedTuple):
    """What a handler may use beside its parameters."""

    work_scale: float  # multiplies simulated durations
    report_progress: Callable[[int], None]  # in percent
    # runs a function with its arguments beside the event loop
    in_executor: Callable[..., Awaitable[int]]


def simulated_seconds(parameters: Parameters) -> int:
    """How long the work is simulated to take, before WORK_SCALE; 0 for
    real work.
    """
    match parameters:
        case GenerateReport(sections=sections):
            return 10 + sections  # ten of preparation, then one for each section
        case CountPrimes():
            return 0
        case _:
            return 5


async def run(task_type: str, parameters: Parameters, tools: Tools) -> Result:
    """Take the simulated time, with progress at each second, and do the
    work. Raises TaskFailedError if it cannot.
    """
    seconds = simulated_seconds(parameters)
    for second in range(1, seconds + 1):
        await asyncio.sleep(tools.work_scale)
        tools.report_progress(100 * second // seconds)
    match task_type, parameters:
        case "compute_sum", ComputeSum(numbers=numbers):
            return {"sum": add(numbers)}
        case "generate_report", GenerateReport(title=title, sections=sections):
            headings = (
                f"## Section {n} of {sections}\n\nWhat there is to say."
                for n in range(1, sections + 1)
            )
            return {"title": title, "report": "\n\n".join([title, *headings])}
        case "count_primes", CountPrimes(limit=limit):
            return {"count": await count_primes(limit, tools)}
        case "simulate_failure", SimulateFailure(kind=kind, message=message):
            raise FAILURES[kind](message)
        case _:
            raise NotImplementedError(f"no handler for {task_type}")


def add(numbers: list[int | float]) -> int | float:
    """The exact sum of integers, else the ``math.fsum``. Raises
    TaskFailedError where that is not finite.
    """
    try:
        return (
            sum(numbers)
            if all(isinstance(number, int) for number in numbers)
            else math.fsum(numbers)
        )
    except OverflowError:
        raise TaskFailedError(
            "The sum is too large for a floating-point number."
        ) from None


async def count_primes(limit: int, tools: Tools) -> int:
    # One segment at a time: when this is cancelled no other is
    # submitted, and tasks take turns on the executor.
    count, segments = 0, limit // sieve.SEGMENT + 1
    for index in range(segments):
        count += await tools.in_executor(sieve.count_segment, index, limit)
        tools.report_progress(100 * (index + 1) // segments)
    return count
