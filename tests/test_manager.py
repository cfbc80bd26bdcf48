"""The engine: submit, wait, cancel, stop."""

import asyncio
import logging
import math
import multiprocessing
import signal
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
from freezegun import freeze_time
from pydantic import ValidationError

from taskmanager import sieve, task_types
from taskmanager.errors import (
    KeyReusedError,
    QueueFullError,
    ShuttingDownError,
    TaskFinishedError,
    TaskNotFoundError,
)
from taskmanager.manager import TaskManager
from taskmanager.task import Task, TaskStatus
from taskmanager.testing import run_in_virtual_time
from tests.helpers import FAILURE, PRIMES, REPORT, SUM, Gate, managing, settings, settle


def priority(level: str) -> dict[str, Any]:
    return SUM | {"priority": level}


async def test_a_submission_is_checked() -> None:
    async with managing() as manager:
        with pytest.raises(ValidationError):
            manager.submit(SUM | {"parameters": {"numbers": ["1"]}})
        assert manager.stats()["tasks"] == 0


async def test_tasks_are_listed_by_their_status(gate: Gate) -> None:
    async with managing(workers=1) as manager:
        processing = manager.submit(SUM)
        queued = [manager.submit(SUM) for _ in range(2)]
        await settle()

        def listed(status: TaskStatus | None) -> list[Task]:
            return [task for page in manager.list_tasks(status) for task in page]

        assert listed(None) == [processing, *queued]
        assert listed(TaskStatus.QUEUED) == queued
        assert listed(TaskStatus.FAILED) == []


async def test_an_overview_has_the_first_in_line_and_the_last_to_finish(
    gate: Gate,
) -> None:
    async with managing(workers=3, queue_size=10) as manager:
        tasks = [manager.submit(SUM) for _ in range(10)]
        await settle()
        for task in tasks[5:]:
            manager.cancel(task.task_id)
        assert manager.overview(2) == (tasks[:2], tasks[3:5], [tasks[9], tasks[8]])


async def test_a_full_queue_refuses_and_keeps_nothing(gate: Gate) -> None:
    async with managing(workers=1, queue_size=2) as manager:
        manager.submit(SUM)
        await settle()
        waiting = manager.submit(SUM)
        manager.submit(SUM)
        with pytest.raises(QueueFullError) as refused:
            manager.submit(SUM)
        assert refused.value.retry_after == 1
        assert manager.stats()["tasks"] == 3

        # Its slot is free at once.
        manager.cancel(waiting.task_id)
        assert manager.submit(SUM).status.value == "queued"


async def test_without_a_finished_task_to_forget_the_records_are_full(
    gate: Gate,
) -> None:
    async with managing(workers=1, max_tasks=2) as manager:
        first = manager.submit(SUM)
        second = manager.submit(SUM)
        with pytest.raises(QueueFullError):
            manager.submit(SUM)

        manager.cancel(second.task_id)
        manager.submit(SUM)
        with pytest.raises(TaskNotFoundError):
            manager.get(second.task_id)
        assert manager.get(first.task_id) is first


async def test_a_submission_refused_by_the_queue_evicts_nothing(gate: Gate) -> None:
    async with managing(workers=1, queue_size=1, max_tasks=2) as manager:
        done = manager.submit(SUM)
        manager.cancel(done.task_id)

        waiting = manager.submit(SUM)
        with pytest.raises(QueueFullError):
            manager.submit(SUM)
        assert manager.get(done.task_id) is done
        assert manager.get(waiting.task_id) is waiting


async def test_a_key_finds_its_task_and_stands_for_no_other() -> None:
    async with managing() as manager:
        task = manager.submit(SUM, "a")
        assert manager.submit(SUM, "a") is task
        # It is that by default.
        assert manager.submit(priority("normal"), "a") is task

        with_another_key = manager.submit(SUM, "b")
        without = [manager.submit(SUM), manager.submit(SUM)]
        assert len({task, with_another_key, *without}) == 4

        other_numbers = SUM | {"parameters": {"numbers": [1, 2]}}
        for other in (priority("low"), other_numbers, REPORT):
            with pytest.raises(KeyReusedError):
                manager.submit(other, "a")

        assert manager.stats()["tasks"] == 4


async def test_a_repeated_submission_is_expected_when_its_task_is(gate: Gate) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with managing(workers=1, work_scale=1) as manager:
            task = manager.submit(SUM, "a")
            await settle()
            assert task.status.value == "processing"
            assert manager.retry_after(task) == 5

            frozen.tick(3.5)
            assert manager.retry_after(task) == 2

            # It is late already.
            frozen.tick(3.5)
            assert manager.retry_after(task) == 1

            manager.cancel(task.task_id)
            assert manager.retry_after(task) == 1


async def test_priorities_are_head_starts(gate: Gate) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with managing(workers=1) as manager:
            # This one occupies the worker.
            manager.submit(SUM)
            await settle()

            # Its place is 0 + 60 s.
            low = manager.submit(priority("low"))

            frozen.tick(29)
            early_normal = manager.submit(priority("normal"))

            # Its place is 30 + 30 s, like that of the low one, which
            # came first.
            frozen.tick(1)
            late_normal = manager.submit(priority("normal"))

            frozen.tick(28)
            early_high = manager.submit(priority("high"))

            # Its place is 61 s, behind them: nothing starves.
            frozen.tick(3)
            late_high = manager.submit(priority("high"))

            expected = [
                early_high,
                early_normal,
                low,
                late_normal,
                late_high,
            ]
            positions = [manager.describe(task)["queue_position"] for task in expected]
            assert positions == list(range(5))

            started: list[Task] = []
            for number in range(6):
                gate.open(number)
                await settle()
                started += [
                    task for task in expected if task.status.value == "processing"
                ]

            assert started == expected


@pytest.mark.parametrize("since", [None, 1, 2, 99])
async def test_a_finished_task_is_answered_at_once(since: int | None) -> None:
    async with managing(wait_timeout=1000) as manager:
        task = manager.submit(SUM)
        manager.cancel(task.task_id)
        assert await asyncio.wait_for(manager.wait(task.task_id, since), 1) is task


async def test_a_wait_ends_with_each_change(gate: Gate) -> None:
    async with managing(workers=1, wait_timeout=1000) as manager:
        task = manager.submit(SUM)
        assert (await manager.wait(task.task_id)).version == 2
        # It has changed already.
        assert (await manager.wait(task.task_id, since=1)).version == 2

        polls = [
            asyncio.create_task(manager.wait(task.task_id, since))
            for since in (None, 2, 2, 7)
        ]
        await settle()
        assert manager.stats()["waiting"] == 4

        gate.open(0)
        assert [(await poll).version for poll in polls] == [3] * 4
        assert manager.stats()["waiting"] == 0


async def test_a_version_from_the_future_waits(gate: Gate) -> None:
    async with managing(workers=1, wait_timeout=1000) as manager:
        task = manager.submit(SUM)
        poll = asyncio.create_task(manager.wait(task.task_id, since=2))
        await settle()
        assert task.version == 2
        assert not poll.done()

        manager.cancel(task.task_id)
        assert (await poll).version == 3


async def test_a_wait_ends_at_its_deadline_with_the_task_as_it_is(gate: Gate) -> None:
    async with managing(workers=1, wait_timeout=0.001) as manager:
        task = manager.submit(SUM)
        assert (await manager.wait(task.task_id, since=2)).version == 2
        assert manager.stats()["waiting"] == 0


def test_a_wait_whose_timer_comes_a_little_early_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Timers that are due within a nanosecond come together."""
    waits = []

    async def counted(*arguments: Any, **options: Any) -> Any:
        waits.append(options["timeout"])
        assert len(waits) < 100, f"it waits for {waits[-1]} s, again and again"
        return await asyncio_wait(*arguments, **options)

    async def poll() -> None:
        loop = asyncio.get_running_loop()
        async with managing(work_scale=10) as manager:
            task = manager.submit(SUM)
            await asyncio.sleep(1)
            deadline = loop.time() + settings().wait_timeout
            loop.call_at(math.nextafter(deadline, 0), waits.append, 0.0)
            await manager.wait(task.task_id)

    asyncio_wait = asyncio.wait
    monkeypatch.setattr(asyncio, "wait", counted)
    run_in_virtual_time(poll())
    assert waits == [settings().wait_timeout, 0.0]


async def test_a_poller_that_gives_up_leaves_the_others_waiting(gate: Gate) -> None:
    async with managing(workers=1, wait_timeout=1000) as manager:
        task = manager.submit(SUM)
        await settle()
        stays, leaves = (
            asyncio.create_task(manager.wait(task.task_id)) for _ in range(2)
        )
        await settle()

        leaves.cancel()
        await settle()
        assert manager.stats()["waiting"] == 1

        gate.open(0)
        assert (await stays).status.value == "completed"


async def test_cancelling_twice_changes_nothing_and_other_ends_refuse() -> None:
    async with managing() as manager:
        cancelled = manager.submit(SUM)
        manager.cancel(cancelled.task_id)
        version = cancelled.version
        assert manager.cancel(cancelled.task_id).version == version

        for submission, end in ((SUM, "completed"), (FAILURE, "failed")):
            task = manager.submit(submission)
            await manager.wait(task.task_id, since=2)
            with pytest.raises(TaskFinishedError, match=end):
                manager.cancel(task.task_id)

        with pytest.raises(TaskNotFoundError):
            manager.cancel("no such task")


@pytest.mark.parametrize(
    ("workers", "before", "seconds"),
    [
        (5, [], 5),
        (1, [SUM], 10),
        (1, [SUM, SUM], 15),
        (5, [SUM] * 5, 10),
        (2, [SUM] * 3, 13),
        (1, [REPORT], 17),
    ],
)
async def test_when_a_task_can_be_expected_to_finish(
    gate: Gate, workers: int, before: list[dict[str, Any]], seconds: int
) -> None:
    with freeze_time("2026-01-01", real_asyncio=True):
        async with managing(workers=workers, work_scale=1) as manager:
            for submission in before:
                manager.submit(submission)
                await settle()

            assert manager.retry_after(manager.submit(SUM)) == seconds


@pytest.mark.parametrize(("first", "second"), [(1, 1.0), (0.0, -0.0)])
async def test_numbers_that_are_written_otherwise_are_another_submission(
    gate: Gate, first: float, second: float
) -> None:
    def of(number: float) -> dict[str, Any]:
        return SUM | {"parameters": {"numbers": [number, 2]}}

    async with managing() as manager:
        task = manager.submit(of(first), "a key")
        assert manager.submit(of(first), "a key") is task
        with pytest.raises(KeyReusedError):
            manager.submit(of(second), "a key")


async def test_refusals_say_what_to_do(gate: Gate) -> None:
    async with managing(workers=1, queue_size=1) as manager:
        manager.submit(SUM, "a key")
        await settle()
        with pytest.raises(KeyReusedError) as reused:
            manager.submit(REPORT, "a key")
        assert (
            str(reused.value)
            == "This Idempotency-Key came with another submission before."
        )

        manager.submit(SUM)
        with pytest.raises(QueueFullError) as full:
            manager.submit(SUM)
        assert str(full.value) == "No slot is free; try again later."

        with pytest.raises(TaskNotFoundError) as unknown:
            manager.get("x")
        assert (
            str(unknown.value)
            == "No task has this id; a finished one is removed after a while."
        )

        manager.begin_stop()
        with pytest.raises(ShuttingDownError) as stopping:
            manager.submit(SUM)
        assert str(stopping.value) == "The server is shutting down."
        assert stopping.value.retry_after == 5


async def test_the_estimate_is_rounded_up_once(gate: Gate) -> None:
    with freeze_time("2026-01-01", real_asyncio=True):
        # A sum takes 0.4 s.
        async with managing(workers=1, work_scale=0.08) as manager:
            manager.submit(SUM)
            await settle()
            assert manager.retry_after(manager.submit(SUM)) == 1


@pytest.mark.parametrize("lost", [False, True])
async def test_a_lost_executor_degrades_the_health(lost: bool) -> None:
    executor = ThreadPoolExecutor(1)
    executor.lost = lost  # type: ignore[attr-defined]
    expected = "degraded" if lost else "ok"

    async with managing(executor) as manager:
        assert manager.stats()["status"] == expected
    executor.shutdown()


async def test_the_estimate_for_a_burst_that_no_worker_has_taken_yet() -> None:
    with freeze_time("2026-01-01", real_asyncio=True):
        async with managing(workers=2, work_scale=1) as manager:
            told = [manager.retry_after(manager.submit(SUM)) for _ in range(4)]
            assert told == [5, 5, 10, 13]


async def test_a_submission_and_each_change_of_status_are_a_line_of_the_log(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "taskmanager")
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with managing() as manager:
            task = manager.submit(SUM)
            await settle()
            frozen.tick(2.51239)
            gate.open(0)
            await manager.wait(task.task_id, since=2)

    assert task.started_at == "2026-01-01T00:00:00.000Z"
    assert task.finished_at == "2026-01-01T00:00:02.512Z"

    came, begun, ended = caplog.records
    about = {"task_id": task.task_id, "task_type": "compute_sum"}
    assert came.args == about | {"to": "queued"}
    assert begun.args == about | {"from": "queued", "to": "processing", "seconds": 0.0}
    assert ended.args == about | {
        "from": "processing",
        "to": "completed",
        "seconds": 2.512,
    }
    assert came.getMessage() == f"task {task.task_id}: submitted"
    assert begun.getMessage() == f"task {task.task_id}: queued -> processing"
    assert ended.getMessage() == f"task {task.task_id}: processing -> completed"


class Recorder(Executor):
    """An executor that runs nothing by itself."""

    def __init__(self) -> None:
        self.segments: list[int] = []
        self.futures: list[Future[Any]] = []

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        segment, _ = args
        self.segments.append(segment)
        future: Future[Any] = Future()
        self.futures.append(future)
        return future


async def test_tasks_take_turns_on_the_executor_until_they_are_cancelled() -> None:
    recorder = Recorder()
    submission = PRIMES | {"parameters": {"limit": 3 * sieve.SEGMENT}}

    async with managing(recorder) as manager:
        first = manager.submit(submission)
        second = manager.submit(submission)
        await settle()
        assert recorder.segments == [0, 0]

        of_first, of_second = recorder.futures
        of_first.set_result(10)
        await settle()
        assert first.progress == 25
        assert recorder.segments == [0, 0, 1]

        manager.cancel(second.task_id)
        await settle()
        assert of_second.cancelled()
        assert len(recorder.segments) == 3


async def test_any_executor_does_and_stays_open() -> None:
    with ThreadPoolExecutor(1) as executor:
        async with managing(executor) as manager:
            task = manager.submit(PRIMES)
            await manager.wait(task.task_id, since=2)
            assert task.result == {"count": 25}

        assert executor.submit(int).result() == 0


@pytest.mark.skipif(
    sys.platform == "win32", reason="kills a process with a POSIX signal"
)
async def test_own_processes_start_when_needed_survive_a_kill_and_end_with_the_manager(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = task_types.run

    async def run(
        task_type: str, parameters: Any, tools: task_types.Tools
    ) -> dict[str, Any]:
        if parameters.limit == 10**9:
            await tools.in_executor(signal.raise_signal, signal.SIGKILL)
        return await real(task_type, parameters, tools)

    monkeypatch.setattr(task_types, "run", run)

    async with managing() as manager:
        assert not multiprocessing.active_children()

        task = manager.submit(PRIMES)
        await manager.wait(task.task_id, since=2)
        assert task.result == {"count": 25}

        deadly = manager.submit(PRIMES | {"parameters": {"limit": 10**9}})
        await manager.wait(deadly.task_id, since=2)
        assert deadly.error == {
            "code": "internal_error",
            "message": "The task failed unexpectedly.",
        }
        assert (
            "RuntimeError: the process that did this ended with code -9" in caplog.text
        )

        again = manager.submit(PRIMES)
        await manager.wait(again.task_id, since=2)
        assert again.result == {"count": 25}

    assert not multiprocessing.active_children()


async def test_a_stop_cancels_all_answers_all_and_leaves_nothing(gate: Gate) -> None:
    before = asyncio.all_tasks()
    async with managing(workers=1, wait_timeout=1000) as manager:
        tasks = [manager.submit(SUM) for _ in range(3)]
        await settle()
        polls = [asyncio.create_task(manager.wait(task.task_id)) for task in tasks]
        await settle()

        # A second signal changes nothing.
        manager.begin_stop()
        manager.begin_stop()
        assert [(await poll).status.value for poll in polls] == ["cancelled"] * 3
        with pytest.raises(ShuttingDownError):
            manager.submit(SUM)

    assert asyncio.all_tasks() == before


async def test_the_end_of_the_block_stops_too() -> None:
    manager = TaskManager(settings(work_scale=1000))
    async with manager:
        task = manager.submit(SUM)

    assert task.status.value == "cancelled"


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_times_keep_their_order_when_somebody_sets_the_clock(
    step: int, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with freeze_time("2026-01-01T12:00:00.250", real_asyncio=True) as frozen:
        async with managing() as manager:
            task = manager.submit(SUM)

            # The wall clock is an hour off; the monotonic one never.
            wrong = time.time() + step
            monkeypatch.setattr(time, "time", lambda: wrong)
            frozen.tick(1.5)
            await settle()

            frozen.tick(2.25)
            gate.open(0)
            await manager.wait(task.task_id, since=2)

    assert task.created_at == "2026-01-01T12:00:00.250Z"
    assert task.started_at == "2026-01-01T12:00:01.750Z"
    assert task.finished_at == "2026-01-01T12:00:04.000Z"
