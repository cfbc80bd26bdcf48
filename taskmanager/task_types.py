"""The task types: for each, side by side, what it accepts and what it
does.

Rules: parameters are checked when a task is submitted, never first in a
worker; ``true`` is no number, and neither is ``"5"``. A handler returns
a result or raises; at each ``await`` it can be cancelled, and it lets
CancelledError pass. Notebook: 00-tour.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeAlias,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    GetPydanticSchema,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)
from pydantic_core import core_schema

from taskmanager import sieve
from taskmanager.errors import TaskFailedError

Priority: TypeAlias = Literal["high", "normal", "low"]
Result: TypeAlias = dict[str, Any]


# What parameters are made of


def _check_whole(value: Any) -> Any:
    # JSON knows no integers: its 5.0 is as whole as its 5.
    if type(value) is float and value.is_integer():
        return int(value)
    return value


# Pydantic's own union of int and float would report each fault twice,
# and take an integer that is too large for a float.
NUMBER = core_schema.union_schema(
    [
        core_schema.int_schema(strict=True, gt=-(10**100), lt=10**100),
        core_schema.chain_schema(
            [
                core_schema.is_instance_schema(float),
                core_schema.float_schema(allow_inf_nan=False),
            ]
        ),
    ],
    mode="left_to_right",
    custom_error_type="number",
    custom_error_message=(
        "Input should be a finite number, an integer of at most 100 digits"
    ),
)
Number: TypeAlias = Annotated[
    int | float,
    GetPydanticSchema(lambda _source, _handler: NUMBER),
    # Both are named, so that generated clients keep integers exact.
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "number"}]}),
]
Whole = BeforeValidator(_check_whole)
# A text without control characters (Unicode's category Cc).
Text: TypeAlias = Annotated[
    str, Field(strict=True, pattern=r"^[^\u0000-\u001f\u007f-\u009f]*$")
]


class Parameters(BaseModel, extra="forbid"):
    """What a task type accepts; the base of them all."""

    task_type: ClassVar[str]
    example: ClassVar[dict[str, Any]]

    @property
    def simulated_seconds(self) -> int:
        """How long the work is simulated to take, before WORK_SCALE."""
        return 5


@dataclass(slots=True)
class Tools:
    """What a handler may use beside its parameters."""

    work_scale: float  # multiplies simulated durations
    report_progress: Callable[[int], None]  # in percent
    # Runs a function with its arguments beside the event loop.
    in_executor: Callable[..., Awaitable[int]]


# compute_sum


class ComputeSum(Parameters):
    """Add numbers.

    The sum is exact where all are integers, else ``math.fsum``.
    """

    task_type = "compute_sum"
    example = {"numbers": [1, 2, 3]}

    numbers: Annotated[list[Number], Field(min_length=1, max_length=10_000)]


def add(numbers: list[int | float]) -> int | float:
    """The sum. Raises TaskFailedError where it is not finite."""
    if float not in map(type, numbers):
        return sum(numbers)

    try:
        return math.fsum(numbers)
    except OverflowError:
        detail = "The sum is too large for a floating-point number."
        raise TaskFailedError(detail) from None


# generate_report


class GenerateReport(Parameters):
    """Write a report with a heading for each section."""

    task_type = "generate_report"
    example = {"title": "Quarterly figures", "sections": 3}

    title: Annotated[Text, Field(min_length=1, max_length=200)]
    sections: Annotated[int, Field(strict=True, ge=1, le=20), Whole] = 5

    @property
    def simulated_seconds(self) -> int:
        """Ten of preparation, then one for each section."""
        return 10 + self.sections


def report(title: str, sections: int) -> str:
    """The text of the report."""
    paragraphs = [title]
    for number in range(1, sections + 1):
        paragraphs.append(f"## Section {number} of {sections}")
        paragraphs.append("What there is to say.")
    return "\n\n".join(paragraphs)


# count_primes


class CountPrimes(Parameters):
    """Count the primes up to ``limit``.

    That is real CPU work, beside the event loop.
    """

    task_type = "count_primes"
    example = {"limit": 1_000_000}

    limit: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000), Whole]

    @property
    def simulated_seconds(self) -> int:
        """No time at all, since this work is real."""
        return 0


async def count_primes(limit: int, tools: Tools) -> int:
    """The number of primes up to ``limit``."""
    # One segment at a time: when this is cancelled no other is
    # submitted, and tasks take turns on the executor.
    count = 0
    segments = limit // sieve.SEGMENT + 1

    for index in range(segments):
        count += await tools.in_executor(sieve.count_segment, index, limit)
        tools.report_progress(100 * (index + 1) // segments)

    return count


# simulate_failure


class SimulateFailure(Parameters):
    """Fail in a chosen way."""

    task_type = "simulate_failure"
    example = {"kind": "crash"}

    kind: Literal["task_failed", "timeout", "crash"] = "task_failed"
    message: Annotated[Text, Field(max_length=200)] = "This failure was asked for."


FAILURES: dict[str, type[Exception]] = {
    "task_failed": TaskFailedError,
    "timeout": asyncio.TimeoutError,
    "crash": RuntimeError,
}


# The dispatch


async def run(task_type: str, parameters: Parameters, tools: Tools) -> Result:
    """Take the simulated time, then do the work.

    Progress moves at each second.

    Raises TaskFailedError where that fails for a reason to be read by
    its user, and NotImplementedError for a type that has no case here.
    """
    seconds = parameters.simulated_seconds
    if tools.work_scale == 0:
        # Not even a turn of the event loop.
        seconds = 0
    for second in range(1, seconds + 1):
        await asyncio.sleep(tools.work_scale)
        tools.report_progress(100 * second // seconds)

    match task_type, parameters:
        case "compute_sum", ComputeSum(numbers=numbers):
            return {"sum": add(numbers)}
        case "generate_report", GenerateReport(title=title, sections=sections):
            return {"title": title, "report": report(title, sections)}
        case "count_primes", CountPrimes(limit=limit):
            return {"count": await count_primes(limit, tools)}
        case "simulate_failure", SimulateFailure(kind=kind, message=message):
            raise FAILURES[kind](message)
        case _:
            raise NotImplementedError(f"no case for {task_type}")


# What a client submits

# The one list of types: all that stand above, in that order.
TASK_TYPES = Parameters.__subclasses__()


class Submission(BaseModel, extra="forbid"):
    """A task as a client submits it.

    Each task type has a model of its own.
    """

    task_type: str
    parameters: Parameters
    priority: Priority = "normal"


def _submission_of(parameters: type[Parameters]) -> Any:
    name: Any = Literal[parameters.task_type]
    return create_model(
        f"{parameters.__name__}Submission",
        __base__=Submission,
        __doc__=parameters.__doc__,
        task_type=(name, ...),
        parameters=(parameters, ...),
    )


if TYPE_CHECKING:
    AnySubmission: TypeAlias = Submission
else:
    AnySubmission = Annotated[
        reduce(or_, map(_submission_of, TASK_TYPES)),
        Discriminator("task_type"),
    ]

SUBMISSION: TypeAdapter[Submission] = TypeAdapter(AnySubmission)
