"""What each task type does, with its sleeps mocked."""

import asyncio
from typing import Any

import pytest

from taskmanager import handlers, sieve
from taskmanager.errors import TaskFailedError
from taskmanager.parameters import SUBMISSION
from tests.conftest import settle


class Bench:
    """Runs handlers; records their sleeps, their progress, and what
    they send to the executor.
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
        tools = handlers.Tools(work_scale, self.progress.append, self.in_executor)
        return await handlers.run(submission.task_type, submission.parameters, tools)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(handlers.asyncio, "sleep", bench.sleep)
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
        ([2**53, 1], 2**53 + 1),  # through floats it would be 2**53
        ([2**53, 1.0, 1.0], 2.0**53 + 2),  # added one by one it would be 2**53
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
    with pytest.raises(
        TaskFailedError, match=r"^The sum is too large for a floating-point number\.$"
    ):
        await bench.run("compute_sum", numbers=numbers)


@pytest.mark.parametrize("sections", [1, 7, 20])
async def test_generate_report(bench: Bench, sections: int) -> None:
    result = await bench.run("generate_report", title="Figures", sections=sections)
    assert result["title"] == "Figures"
    assert result["report"].startswith("Figures\n")
    assert (
        sum(line.startswith("#") for line in result["report"].splitlines()) == sections
    )
    assert sum(bench.slept) == 10 + sections
    # it moves at each simulated second
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


@pytest.mark.parametrize("work_scale", [0.0, 0.5, 2.0])
async def test_work_scale_multiplies_the_sleeps(
    bench: Bench, work_scale: float
) -> None:
    await bench.run("compute_sum", work_scale, numbers=[1])
    assert bench.slept == [work_scale] * 5
    assert bench.progress == [20, 40, 60, 80, 100]


async def test_count_primes_goes_through_the_executor_by_segments(bench: Bench) -> None:
    limit = 3 * sieve.SEGMENT - 1
    assert await bench.run("count_primes", limit=limit) == {"count": 3}
    assert bench.segments == [(sieve.count_segment, index, limit) for index in range(3)]
    assert (bench.slept, bench.progress) == ([], [33, 66, 100])


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
    assert handlers.simulated_seconds(submission.parameters) == seconds


async def test_the_next_segment_waits_for_the_one_before() -> None:
    submitted: list[asyncio.Future[int]] = []
    progress: list[int] = []

    async def in_executor(function: Any, index: int, limit: int) -> int:
        submitted.append(asyncio.get_running_loop().create_future())
        return await submitted[index]

    tools = handlers.Tools(1.0, progress.append, in_executor)
    counting = asyncio.create_task(handlers.count_primes(4 * sieve.SEGMENT - 1, tools))
    for done in range(4):
        await settle()
        assert (len(submitted), progress) == (done + 1, [25, 50, 75][:done])
        submitted[done].set_result(10)
    assert await counting == 40


async def test_a_cancelled_count_submits_no_further_segment() -> None:
    submitted: list[int] = []
    started = asyncio.Event()

    async def in_executor(function: Any, index: int, limit: int) -> int:
        submitted.append(index)
        started.set()
        return await asyncio.Event().wait()

    tools = handlers.Tools(1.0, lambda percent: None, in_executor)
    counting = asyncio.create_task(handlers.count_primes(10 * sieve.SEGMENT, tools))
    await started.wait()
    counting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await counting
    assert submitted == [0]


async def test_a_type_without_a_handler_is_an_error() -> None:
    parameters = SUBMISSION.validate_python(
        {"task_type": "count_primes", "parameters": {"limit": 1}}
    ).parameters
    with pytest.raises(NotImplementedError, match="no handler for juggle"):
        await handlers.run(
            "juggle",
            parameters,
            handlers.Tools(1.0, lambda percent: None, asyncio.to_thread),
        )
