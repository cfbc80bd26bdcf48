"""The task types, and what each accepts.

Rule: a task is checked when it is submitted, never first in a worker;
``true`` is no number, and ``"5"`` neither.
"""

import math
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

Priority: TypeAlias = Literal["high", "normal", "low"]
# Not a wall: these seconds are added to the time of submission, and the
# smallest sum goes first, so nothing starves.
HEAD_START: dict[Priority, float] = {"high": 0.0, "normal": 30.0, "low": 60.0}


# not a union, which would report each fault twice
def _check_number(value: Any) -> int | float:
    if (type(value) is int and abs(value) < 10**100) or (
        type(value) is float and math.isfinite(value)
    ):
        return value
    raise PydanticCustomError(
        "number", "Input should be a finite number, an integer of at most 100 digits"
    )


# JSON knows no integers: its 5.0 is as whole as its 5
def _check_whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


# category Cc
Text: TypeAlias = Annotated[
    str, Field(strict=True, pattern=r"^[^\u0000-\u001f\u007f-\u009f]*$")
]
Number: TypeAlias = Annotated[
    int | float, PlainValidator(_check_number), WithJsonSchema({"type": "number"})
]
Whole = BeforeValidator(_check_whole)


class Parameters(BaseModel, extra="forbid"):
    pass


class ComputeSum(Parameters):
    """Add numbers: exactly where all are integers, else as
    ``math.fsum`` does.
    """

    numbers: Annotated[list[Number], Field(min_length=1, max_length=10_000)]


class GenerateReport(Parameters):
    """Write a report with a heading for each section."""

    title: Annotated[Text, Field(min_length=1, max_length=200)]
    sections: Annotated[int, Field(strict=True, ge=1, le=20), Whole] = 5


class CountPrimes(Parameters):
    """Count the primes up to ``limit``: real CPU work, beside the event
    loop.
    """

    limit: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000), Whole]


class SimulateFailure(Parameters):
    """Fail in a chosen way."""

    kind: Literal["task_failed", "timeout", "crash"] = "task_failed"
    message: Annotated[Text, Field(max_length=200)] = "This failure was asked for."


Name = TypeVar("Name", bound=str)
P = TypeVar("P", bound=Parameters)


class TypedSubmission(BaseModel, Generic[Name, P], extra="forbid"):
    """What a client submits: one model for each task type."""

    task_type: Name
    parameters: P
    priority: Priority = "normal"

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[1].__name__}Submission"


Submission: TypeAlias = Annotated[
    TypedSubmission[Literal["compute_sum"], ComputeSum]
    | TypedSubmission[Literal["generate_report"], GenerateReport]
    | TypedSubmission[Literal["count_primes"], CountPrimes]
    | TypedSubmission[Literal["simulate_failure"], SimulateFailure],
    Field(discriminator="task_type"),
]
SUBMISSION: TypeAdapter[Submission] = TypeAdapter(Submission)
