"""The task types: what each accepts, and how long its work takes.

Rule: a task is checked when it is submitted, never first in a worker. These models are strict where JSON is not:
``true`` is no number, and ``"5"`` neither.
"""

import math
import re
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskmanager import sieve

Priority: TypeAlias = Literal["high", "normal", "low"]
# A priority is a head start, not a wall: these seconds are added to the time of submission, and the smallest sum
# goes first. So a low one waits at most a minute longer than a high one of the same time, and nothing starves.
HEAD_START: dict[Priority, float] = {"high": 0.0, "normal": 30.0, "low": 60.0}

_TOO_LARGE = 10**100  # the first integer of more than 100 digits
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # category Cc, and halves of surrogate pairs


def _check_text(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise PydanticCustomError("text", "Input should have no control characters and no lone surrogates")
    return text


def _check_number(value: Any) -> int | float:
    # Not a union of int and float, which would report each fault twice.
    if type(value) is int and -_TOO_LARGE < value < _TOO_LARGE:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    raise PydanticCustomError("number", "Input should be a finite number, an integer of at most 100 digits")


def _check_whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value  # JSON's 5.0 is as whole as its 5


Text: TypeAlias = Annotated[
    str,
    Field(strict=True, json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}),
    AfterValidator(_check_text),
]
Number: TypeAlias = Annotated[int | float, PlainValidator(_check_number), WithJsonSchema({"type": "number"})]
Whole: TypeAlias = Annotated[int, Field(strict=True), BeforeValidator(_check_whole)]


class Parameters(BaseModel):
    """Base of the parameters of each task type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def simulated_seconds(self) -> int:
        """How long the work is simulated to take, before WORK_SCALE; 0 for real work."""
        return 5

    def expected_seconds(self, work_scale: float) -> float:
        """How long the task can be expected to process, in real seconds."""
        return self.simulated_seconds * work_scale


class ComputeSum(Parameters):
    """Add numbers: exactly where all are integers, else as ``math.fsum`` does."""

    numbers: Annotated[list[Number], Field(min_length=1, max_length=10_000)]


class GenerateReport(Parameters):
    """Write a report with a heading for each section."""

    title: Annotated[Text, Field(min_length=1, max_length=200)]
    sections: Annotated[Whole, Field(ge=1, le=20)] = 5

    @property
    def simulated_seconds(self) -> int:
        return 10 + self.sections


class CountPrimes(Parameters):
    """Count the primes up to ``limit``: real CPU work, beside the event loop."""

    limit: Annotated[Whole, Field(ge=0, le=1_000_000_000)]

    def expected_seconds(self, work_scale: float) -> float:
        return sieve.segments(self.limit) * sieve.SEGMENT_SECONDS


class SimulateFailure(Parameters):
    """Fail in a chosen way."""

    kind: Literal["task_failed", "timeout", "crash"] = "task_failed"
    message: Annotated[Text, Field(max_length=200)] = "This failure was asked for."


Type = TypeVar("Type", bound=str)
P = TypeVar("P", bound=Parameters)


class TypedSubmission(BaseModel, Generic[Type, P]):
    """What a client submits: one model for each task type."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    task_type: Type
    parameters: P
    priority: Priority = "normal"

    @classmethod
    def model_parametrized_name(cls, params: tuple[type[Any], ...]) -> str:
        return f"{params[1].__name__}Submission"


Submission: TypeAlias = Annotated[
    TypedSubmission[Literal["compute_sum"], ComputeSum]
    | TypedSubmission[Literal["generate_report"], GenerateReport]
    | TypedSubmission[Literal["count_primes"], CountPrimes]
    | TypedSubmission[Literal["simulate_failure"], SimulateFailure],
    Field(discriminator="task_type"),
]
