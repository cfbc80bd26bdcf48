"""Handlers: what each task type does.

Rule: a handler is a coroutine that returns a result or raises. It knows nothing of status, queue or HTTP. At each
``await`` it can be cancelled, and it lets CancelledError pass.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from taskmanager import sieve
from taskmanager.errors import TaskFailedError
from taskmanager.models import Result
from taskmanager.parameters import ComputeSum, CountPrimes, GenerateReport, Parameters, SimulateFailure


@dataclass(frozen=True, slots=True)
class Tools:
    """What a handler may use.

    ``work_scale`` multiplies simulated durations, ``report_progress`` takes percent, and ``in_executor`` runs a
    function with its arguments beside the event loop.
    """

    work_scale: float
    report_progress: Callable[[int], None]
    in_executor: Callable[..., Awaitable[int]]


async def run(task_type: str, parameters: Parameters, tools: Tools) -> Result:
    """Do the work of one task. Raises TaskFailedError where it cannot be done."""
    match task_type, parameters:
        case "compute_sum", ComputeSum():
            return await compute_sum(parameters, tools)
        case "generate_report", GenerateReport():
            return await generate_report(parameters, tools)
        case "count_primes", CountPrimes():
            return await count_primes(parameters, tools)
        case "simulate_failure", SimulateFailure():
            return await simulate_failure(parameters, tools)
        case _:
            raise NotImplementedError(f"no handler for {task_type}")


async def simulate(parameters: Parameters, tools: Tools) -> None:
    """Take the simulated time of a task, and show progress at each simulated second."""
    seconds = parameters.simulated_seconds
    for second in range(1, seconds + 1):
        await asyncio.sleep(tools.work_scale)
        tools.report_progress(100 * second // seconds)


async def compute_sum(parameters: ComputeSum, tools: Tools) -> Result:
    await simulate(parameters, tools)
    if all(isinstance(number, int) for number in parameters.numbers):
        return {"sum": sum(parameters.numbers)}
    try:
        total = math.fsum(parameters.numbers)
    except OverflowError:
        total = math.inf
    if not math.isfinite(total):
        raise TaskFailedError("The sum is too large for a floating-point number.")
    return {"sum": total}


async def generate_report(parameters: GenerateReport, tools: Tools) -> Result:
    await simulate(parameters, tools)  # ten seconds of preparation, then one for each section
    lines = [parameters.title]
    for number in range(1, parameters.sections + 1):
        lines += [f"## Section {number} of {parameters.sections}", f"What there is to say about part {number}."]
    return {"title": parameters.title, "report": "\n\n".join(lines)}


async def count_primes(parameters: CountPrimes, tools: Tools) -> Result:
    # One segment at a time: when this is cancelled no other is submitted, and tasks take turns on the executor.
    count, segments = 0, sieve.segments(parameters.limit)
    for index in range(segments):
        count += await tools.in_executor(sieve.count_segment, index, parameters.limit)
        tools.report_progress(100 * (index + 1) // segments)
    return {"count": count}


async def simulate_failure(parameters: SimulateFailure, tools: Tools) -> Result:
    await simulate(parameters, tools)
    match parameters.kind:
        case "task_failed":
            raise TaskFailedError(parameters.message)
        case "timeout":
            raise asyncio.TimeoutError(parameters.message)
        case "crash":
            raise RuntimeError(parameters.message)
