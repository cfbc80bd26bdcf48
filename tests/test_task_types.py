"""What each task type does, with its sleeps mocked."""

import asyncio
import math
import sys
import unicodedata
from typing import Any

import pytest
from pydantic import ValidationError

from taskmanager import sieve, task_types
from taskmanager.errors import TaskFailedError
from taskmanager.task_types import SUBMISSION
from tests.helpers import settle


class Bench:
    """Runs handlers, and records what they do.

    That is their sleeps, their progress, and what they send to the
    executor.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.progress: list[int] = []
        self.segments: list[tuple[Any, ...]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def in_executor(self, *call: Any) -> int:
        self.segments.append(call)
        return 1

    async def run(
        self, task_type: str, work_scale: float = 1.0, **parameters: Any
    ) -> Any:
        submission = SUBMISSION.validate_python(
            {"task_type": task_type, "parameters": parameters}
        )
        tools = task_types.Tools(work_scale, self.progress.append, self.in_executor)
        return await task_types.run(submission.task_type, submission.parameters, tools)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(task_types.asyncio, "sleep", bench.sleep)
    return bench


@pytest.mark.parametrize(
    ("numbers", "total"),
    [
        ([1, 2, 3], 6),
        ([10**99, 1, -(10**99)], 1),
        ([0.1] * 10, 1.0),
        ([1e16, 1.0, -1e16], 1.0),
        ([1, 0.5], 1.5),
        ([10**100 - 1] * 10_000, 10**104 - 10**4),
        # Through floats it would be 2**53.
        ([2**53, 1], 2**53 + 1),
        # Added one by one it would be 2**53.
        ([2**53, 1.0, 1.0], 2.0**53 + 2),
        ([1.7e308, -1.7e308, 1], 1.0),
    ],
)
async def test_compute_sum(bench: Bench, numbers: list[float], total: float) -> None:
    result = await bench.run("compute_sum", numbers=numbers)
    assert result == {"sum": total}
    assert type(result["sum"]) is type(total)

    assert bench.slept == [1.0] * 5
    assert bench.progress == [20, 40, 60, 80, 100]


@pytest.mark.parametrize("numbers", [[1e308, 1e308], [1.7e308, 1.7e308, -1.0]])
async def test_a_sum_that_no_float_holds_fails(
    bench: Bench, numbers: list[float]
) -> None:
    message = r"^The sum is too large for a floating-point number\.$"
    with pytest.raises(TaskFailedError, match=message):
        await bench.run("compute_sum", numbers=numbers)


@pytest.mark.parametrize("sections", [1, 7, 20])
async def test_generate_report(bench: Bench, sections: int) -> None:
    result = await bench.run("generate_report", title="Figures", sections=sections)
    assert result["title"] == "Figures"
    assert result["report"].startswith("Figures\n")
    lines = result["report"].splitlines()
    assert sum(line.startswith("#") for line in lines) == sections

    assert sum(bench.slept) == 10 + sections
    # It moves at each simulated second.
    assert bench.progress == sorted(set(bench.progress))
    assert len(bench.progress) == 10 + sections
    assert all(type(progress) is int for progress in bench.progress)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("task_failed", TaskFailedError),
        ("timeout", asyncio.TimeoutError),
        ("crash", RuntimeError),
    ],
)
async def test_simulate_failure(
    bench: Bench, kind: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="as asked"):
        await bench.run("simulate_failure", kind=kind, message="as asked")

    assert bench.slept == [1.0] * 5
    assert bench.progress == [20, 40, 60, 80, 100]


@pytest.mark.parametrize("work_scale", [0.001, 0.5, 2.0])
async def test_work_scale_multiplies_the_sleeps(
    bench: Bench, work_scale: float
) -> None:
    await bench.run("compute_sum", work_scale, numbers=[1])
    assert bench.slept == [work_scale] * 5
    assert bench.progress == [20, 40, 60, 80, 100]


async def test_a_work_scale_of_0_costs_no_turn_of_the_event_loop(bench: Bench) -> None:
    assert await bench.run("compute_sum", 0.0, numbers=[1, 2]) == {"sum": 3}
    assert bench.slept == []


async def test_count_primes_goes_through_the_executor_by_segments(bench: Bench) -> None:
    limit = 3 * sieve.SEGMENT - 1
    assert await bench.run("count_primes", limit=limit) == {"count": 3}
    assert bench.segments == [(sieve.count_segment, index, limit) for index in range(3)]
    assert bench.slept == []
    assert bench.progress == [33, 66, 100]


@pytest.mark.parametrize(
    ("task_type", "parameters", "seconds"),
    [
        ("compute_sum", {"numbers": [1]}, 5),
        ("generate_report", {"title": "x"}, 15),
        ("generate_report", {"title": "x", "sections": 20}, 30),
        ("count_primes", {"limit": 10**9}, 0),
        ("simulate_failure", {}, 5),
    ],
)
def test_simulated_seconds_of_each_type(
    task_type: str, parameters: dict[str, Any], seconds: int
) -> None:
    submission = SUBMISSION.validate_python(
        {"task_type": task_type, "parameters": parameters}
    )
    assert submission.parameters.simulated_seconds == seconds


async def test_the_next_segment_waits_for_the_one_before() -> None:
    submitted: list[asyncio.Future[int]] = []
    progress: list[int] = []

    async def in_executor(function: Any, index: int, limit: int) -> int:
        submitted.append(asyncio.get_running_loop().create_future())
        return await submitted[index]

    tools = task_types.Tools(1.0, progress.append, in_executor)
    limit = 4 * sieve.SEGMENT - 1
    counting = asyncio.create_task(task_types.count_primes(limit, tools))

    for done in range(4):
        await settle()
        assert len(submitted) == done + 1
        assert progress == [25, 50, 75][:done]

        submitted[done].set_result(10)

    assert await counting == 40


async def test_a_cancelled_count_submits_no_further_segment() -> None:
    submitted: list[int] = []
    started = asyncio.Event()

    async def in_executor(function: Any, index: int, limit: int) -> int:
        submitted.append(index)
        started.set()
        return await asyncio.Event().wait()

    tools = task_types.Tools(1.0, lambda percent: None, in_executor)
    counting = asyncio.create_task(task_types.count_primes(10 * sieve.SEGMENT, tools))
    await started.wait()

    counting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await counting
    assert submitted == [0]


async def test_a_type_without_a_handler_is_an_error() -> None:
    body = {"task_type": "count_primes", "parameters": {"limit": 1}}
    parameters = SUBMISSION.validate_python(body).parameters
    tools = task_types.Tools(1.0, lambda percent: None, asyncio.to_thread)
    with pytest.raises(NotImplementedError, match="no case for juggle"):
        await task_types.run("juggle", parameters, tools)


def test_a_report_word_for_word() -> None:
    assert task_types.report("Tides", 2) == (
        "Tides\n\n"
        "## Section 1 of 2\n\nWhat there is to say.\n\n"
        "## Section 2 of 2\n\nWhat there is to say."
    )


# What each accepts


def check(task_type: str, **parameters: Any) -> dict[str, Any]:
    submission = SUBMISSION.validate_python(
        {"task_type": task_type, "parameters": parameters}
    )
    return submission.parameters.model_dump()


ACCEPTED = [
    ("compute_sum", {"numbers": [0]}),
    ("compute_sum", {"numbers": [1, -2.5, 10**100 - 1, 1 - 10**100, 1e308]}),
    ("compute_sum", {"numbers": [1] * 10_000}),
    ("generate_report", {"title": "x", "sections": 1}),
    ("generate_report", {"title": "é" * 200, "sections": 20}),
    ("generate_report", {"title": "\u2028 \U0001f600", "sections": 5}),
    ("count_primes", {"limit": 0}),
    ("count_primes", {"limit": 1_000_000_000}),
    ("simulate_failure", {"kind": "crash", "message": ""}),
    ("simulate_failure", {"kind": "timeout", "message": "x" * 200}),
]
NO_NUMBERS = [
    True,
    "5",
    None,
    [],
    {},
    math.nan,
    math.inf,
    -math.inf,
    10**100,
    -(10**100),
    10**4000,
    1j,
    b"1",
]
NO_TITLES = [
    "",
    "x" * 201,
    5,
    None,
    True,
]
NO_CHARACTERS_OF_A_TITLE = "\x00\t\n\x1f\x7f\x80\x9f\ud800\udfff"
NO_SECTIONS = [
    0,
    21,
    True,
    "5",
    5.5,
    None,
    math.nan,
    math.inf,
    1e30,
]
NO_LIMITS = [
    -1,
    1_000_000_001,
    True,
    "5",
    1.5,
    None,
    math.nan,
    math.inf,
]
NO_KINDS = [
    "boom",
    "CRASH",
    "",
    None,
    1,
]
NO_MESSAGES = [
    5,
    None,
    True,
    "a\ud800",
    "a\nb",
    "x" * 201,
]
REFUSED = [
    ("no_such_type", {}),
    ("compute_sum", {}),
    ("compute_sum", {"more": 1}),
    ("compute_sum", {"numbers": [1], "more": 1}),
    ("compute_sum", {"numbers": []}),
    ("compute_sum", {"numbers": [1] * 10_001}),
    ("compute_sum", {"numbers": 5}),
    ("compute_sum", {"numbers": "123"}),
    *(("compute_sum", {"numbers": [bad]}) for bad in NO_NUMBERS),
    *(("compute_sum", {"numbers": [1, bad]}) for bad in NO_NUMBERS),
    ("generate_report", {}),
    ("generate_report", {"more": 1}),
    ("generate_report", {"title": "x", "more": 1}),
    *(("generate_report", {"title": bad}) for bad in NO_TITLES),
    *(("generate_report", {"title": f"a{bad}b"}) for bad in NO_CHARACTERS_OF_A_TITLE),
    *(("generate_report", {"title": "x", "sections": bad}) for bad in NO_SECTIONS),
    ("count_primes", {}),
    ("count_primes", {"more": 1}),
    ("count_primes", {"limit": 1, "more": 1}),
    *(("count_primes", {"limit": bad}) for bad in NO_LIMITS),
    ("simulate_failure", {"more": 1}),
    *(("simulate_failure", {"kind": bad}) for bad in NO_KINDS),
    *(("simulate_failure", {"message": bad}) for bad in NO_MESSAGES),
]


@pytest.mark.parametrize(("task_type", "parameters"), ACCEPTED)
def test_accepted(task_type: str, parameters: dict[str, Any]) -> None:
    assert check(task_type, **parameters) == parameters


@pytest.mark.parametrize(("task_type", "parameters"), REFUSED)
def test_refused(task_type: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check(task_type, **parameters)


def test_what_a_number_is() -> None:
    with pytest.raises(ValidationError) as refused:
        check("compute_sum", numbers=[True])

    (error,) = refused.value.errors()
    assert error["type"] == "number"
    assert (
        error["msg"]
        == "Input should be a finite number, an integer of at most 100 digits"
    )


@pytest.mark.parametrize(
    "submission",
    [
        {},
        [],
        None,
        {"task_type": "count_primes"},
        {"parameters": {"limit": 1}},
        {"task_type": None, "parameters": {"limit": 1}},
        {"task_type": ["count_primes"], "parameters": {"limit": 1}},
        {"task_type": "COUNT_PRIMES", "parameters": {"limit": 1}},
        {"task_type": "count_primes", "parameters": None},
        {"task_type": "count_primes", "parameters": [1]},
        {"task_type": "count_primes", "parameters": {"limit": 1}, "more": 1},
        *(
            {"task_type": "count_primes", "parameters": {"limit": 1}, "priority": bad}
            for bad in (
                "urgent",
                "HIGH",
                "",
                0,
                None,
            )
        ),
    ],
)
def test_a_malformed_submission_is_refused(submission: object) -> None:
    with pytest.raises(ValidationError):
        SUBMISSION.validate_python(submission)


def test_a_submission_has_normal_priority_unless_it_says_otherwise() -> None:
    body = {"task_type": "count_primes", "parameters": {"limit": 1}}
    assert SUBMISSION.validate_python(body).priority == "normal"

    for priority in ("high", "normal", "low"):
        submission = SUBMISSION.validate_python(body | {"priority": priority})
        assert submission.priority == priority


def test_texts_may_have_every_character_but_control_characters_and_surrogates() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    refused = {
        character
        for character in characters
        if unicodedata.category(character) in ("Cc", "Cs")
    }
    for character in refused:
        with pytest.raises(ValidationError):
            check("simulate_failure", message=character)

    allowed = [character for character in characters if character not in refused]
    for start in range(0, len(allowed), 200):
        text = "".join(allowed[start : start + 200])
        assert check("simulate_failure", message=text)["message"] == text


def test_defaults_are_filled_in() -> None:
    assert check("generate_report", title="x") == {"title": "x", "sections": 5}

    failure = check("simulate_failure")
    assert failure.keys() == {"kind", "message"}
    assert failure["kind"] == "task_failed"
    assert failure["message"]


def test_a_whole_float_is_a_whole_number() -> None:
    assert check("count_primes", limit=1e9) == {"limit": 10**9}
    assert type(check("generate_report", title="x", sections=2.0)["sections"]) is int


def test_integers_and_floats_stay_what_they_are() -> None:
    numbers = check("compute_sum", numbers=[1, 1.0])["numbers"]
    assert [type(number) for number in numbers] == [int, float]
