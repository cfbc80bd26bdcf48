"""The engine: submit, wait, cancel, stop."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
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
from taskmanager.executors import KillablePool
from taskmanager.manager import TaskManager
from tests.helpers import PRIMES, REPORT, SUM, Gate, managing, settings, settle


def priority(level: str) -> dict[str, Any]:
    return SUM | {"priority": level}


async def test_a_submission_is_checked() -> None:
    async with managing() as manager:
        with pytest.raises(ValidationError):
            manager.submit(
                {"task_type": "compute_sum", "parameters": {"numbers": ["1"]}}
            )
        assert manager.stats()["tasks"] == 0


async def test_a_full_queue_refuses_and_keeps_nothing(gate: Gate) -> None:
    async with managing(workers=1, queue_size=2) as manager:
        tasks = [manager.submit(SUM)]
        await settle()
        tasks += [manager.submit(SUM), manager.submit(SUM)]
        with pytest.raises(QueueFullError) as refused:
            manager.submit(SUM)
        assert refused.value.retry_after == 1
        assert manager.stats()["tasks"] == 3
        manager.cancel(tasks[1].task_id)  # its slot is free at once
        assert manager.submit(SUM).status.value == "queued"


async def test_without_a_finished_task_to_forget_the_records_are_full(
    gate: Gate,
) -> None:
    async with managing(workers=1, max_tasks=2) as manager:
        first, second = manager.submit(SUM), manager.submit(SUM)
        with pytest.raises(QueueFullError):
            manager.submit(SUM)
        manager.cancel(second.task_id)
        manager.submit(SUM)
        with pytest.raises(TaskNotFoundError):
            manager.get(second.task_id)
        assert manager.get(first.task_id) is first


async def test_a_submission_refused_by_the_queue_evicts_nothing(gate: Gate) -> None:
    async with managing(workers=1, queue_size=1, max_tasks=2) as manager:
        done, waiting = manager.submit(SUM), None
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
        assert manager.submit(priority("normal"), "a") is task  # as it is by default
        assert (
            len(
                {
                    task,
                    manager.submit(SUM, "b"),
                    manager.submit(SUM),
                    manager.submit(SUM),
                }
            )
            == 4
        )
        for other in (
            priority("low"),
            SUM | {"parameters": {"numbers": [1, 2]}},
            REPORT,
        ):
            with pytest.raises(KeyReusedError):
                manager.submit(other, "a")
        assert manager.stats()["tasks"] == 4


async def test_a_repeated_submission_is_expected_when_its_task_is(gate: Gate) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with managing(workers=1, work_scale=1) as manager:
            task = manager.submit(SUM, "a")
            await settle()
            assert (task.status.value, manager.retry_after(task)) == ("processing", 5)
            frozen.tick(3.5)
            assert manager.retry_after(task) == 2
            frozen.tick(3.5)
            assert manager.retry_after(task) == 1  # late already
            manager.cancel(task.task_id)
            assert manager.retry_after(task) == 1


async def test_priorities_are_head_starts(gate: Gate) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with managing(workers=1) as manager:
            manager.submit(SUM)  # occupies the worker
            await settle()
            order = [manager.submit(priority("low"))]
            frozen.tick(29)
            order.append(manager.submit(priority("normal")))
            frozen.tick(1)
            # 30 + 30 s, like the low one, which came first
            order.insert(1, manager.submit(priority("normal")))
            frozen.tick(28)
            order.insert(0, manager.submit(priority("high")))  # at 58 s, before all
            frozen.tick(3)
            # at 61 s, behind them: nothing starves
            order.append(manager.submit(priority("high")))
            expected = sorted(order, key=lambda task: task.place)
            assert [manager.describe(task)["queue_position"] for task in expected] == [
                0,
                1,
                2,
                3,
                4,
            ]
            assert [task.priority for task in expected] == [
                "high",
                "normal",
                "low",
                "normal",
                "high",
            ]
            started = []
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
        # it has changed already
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
        for submission, end in (
            (SUM, "completed"),
            ({"task_type": "simulate_failure", "parameters": {}}, "failed"),
        ):
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


async def test_refusals_say_what_to_do(gate: Gate) -> None:
    async with managing(workers=1, queue_size=1) as manager:
        manager.submit(SUM, "a key")
        await settle()
        with pytest.raises(
            KeyReusedError,
            match=r"^This Idempotency-Key came with another submission before\.$",
        ):
            manager.submit(REPORT, "a key")
        manager.submit(SUM)
        with pytest.raises(
            QueueFullError, match=r"^No slot is free; try again later\.$"
        ):
            manager.submit(SUM)
        with pytest.raises(
            TaskNotFoundError,
            match=r"^No task has this id; a finished one is removed after a while\.$",
        ):
            manager.get("x")
        manager.begin_stop()
        with pytest.raises(
            ShuttingDownError, match=r"^The server is shutting down\.$"
        ) as refused:
            manager.submit(SUM)
        assert refused.value.retry_after == 5


async def test_the_estimate_is_rounded_up_once(gate: Gate) -> None:
    with freeze_time("2026-01-01", real_asyncio=True):
        async with managing(workers=1, work_scale=0.08) as manager:  # a sum takes 0.4 s
            manager.submit(SUM)
            await settle()
            assert manager.retry_after(manager.submit(SUM)) == 1


@pytest.mark.parametrize("lost", [False, True])
async def test_a_lost_executor_degrades_the_health(lost: bool) -> None:
    executor = ThreadPoolExecutor(1)
    executor.lost = lost  # type: ignore[attr-defined]
    async with managing(executor) as manager:
        assert manager.stats()["status"] == ("degraded" if lost else "ok")
    executor.shutdown()


async def test_the_estimate_for_a_burst_that_no_worker_has_taken_yet() -> None:
    with freeze_time("2026-01-01", real_asyncio=True):
        async with managing(workers=2, work_scale=1) as manager:
            assert [manager.retry_after(manager.submit(SUM)) for _ in range(4)] == [
                5,
                5,
                10,
                13,
            ]


async def test_each_change_of_status_is_one_line_of_the_log(
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
    assert (task.started_at, task.finished_at) == (
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:02.512Z",
    )
    about = {"task_id": task.task_id, "task_type": "compute_sum"}
    assert [record.args for record in caplog.records] == [
        about | {"from": "queued", "to": "processing", "seconds": 0.0},
        about | {"from": "processing", "to": "completed", "seconds": 2.512},
    ]
    changes = ["queued -> processing", "processing -> completed"]
    assert [record.getMessage() for record in caplog.records] == [
        f"task {task.task_id}: {each}" for each in changes
    ]


class Recorder(Executor):
    """An executor that runs nothing by itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.futures: list[Future[Any]] = []

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append((function, *args))
        self.futures.append(Future())
        return self.futures[-1]


async def test_tasks_take_turns_on_the_executor_and_a_cancelled_one_submits_no_more() -> (
    None
):
    recorder = Recorder()
    limit = 3 * sieve.SEGMENT
    async with managing(recorder) as manager:
        first, second = (
            manager.submit(PRIMES | {"parameters": {"limit": limit}}) for _ in range(2)
        )
        await settle()
        assert [call[1] for call in recorder.calls] == [0, 0]
        recorder.futures[0].set_result(10)
        await settle()
        assert (first.progress, [call[1] for call in recorder.calls]) == (25, [0, 0, 1])
        manager.cancel(second.task_id)
        await settle()
        assert recorder.futures[1].cancelled()
        assert len(recorder.calls) == 3


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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = task_types.run

    async def run(
        task_type: str, parameters: Any, tools: task_types.Tools
    ) -> dict[str, Any]:
        if parameters.limit == 10**9:
            await tools.in_executor(time.sleep, 60)
        return await real(task_type, parameters, tools)

    monkeypatch.setattr(task_types, "run", run)
    async with managing() as manager:
        assert not multiprocessing.active_children()
        task = manager.submit(PRIMES)
        await manager.wait(task.task_id, since=2)
        assert task.result == {"count": 25}
        long = manager.submit(PRIMES | {"parameters": {"limit": 10**9}})
        await manager.wait(long.task_id, since=1)
        await settle()  # until the call is under way
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
        await manager.wait(long.task_id, since=2)
        assert long.error == {
            "code": "internal_error",
            "message": "The task failed unexpectedly.",
        }
        again = manager.submit(PRIMES)
        await manager.wait(again.task_id, since=2)
        assert again.result == {"count": 25}
    assert not multiprocessing.active_children()


class ForgetfulPool(KillablePool):
    """A pool that broke while it started a process, which CPython's own
    then neither ends nor waits for.
    """

    made: list["ForgetfulPool"]

    def __init__(self, **arguments: Any) -> None:
        self.made.append(self)
        self.arguments = arguments
        self.forgotten = multiprocessing.get_context("spawn").Process(
            target=time.sleep, args=(60,)
        )
        self.forgotten.start()
        self._processes = {self.forgotten.pid: self.forgotten}

    def submit(self, *_: Any, **__: Any) -> Any:
        raise BrokenExecutor


async def test_a_process_that_starts_while_the_pool_breaks_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pools = ForgetfulPool.made = []
    monkeypatch.setattr("taskmanager.executors.KillablePool", ForgetfulPool)
    async with managing() as manager:
        task = manager.submit(PRIMES)
        await manager.wait(task.task_id, since=2)
        assert task.error == {
            "code": "internal_error",
            "message": "The task failed unexpectedly.",
        }
        assert "RuntimeError: a process of the pool was killed\n" in caplog.text + "\n"
        (pool,) = pools
        assert pool.arguments["mp_context"].get_start_method() == "spawn"
        # the server decides when they end, not Ctrl-C
        assert pool.arguments["initializer"] is signal.signal
        assert pool.arguments["initargs"] == (signal.SIGINT, signal.SIG_IGN)
        await asyncio.to_thread(pool.forgotten.join, 10)
        assert pool.forgotten.exitcode is not None


async def test_a_pool_of_the_caller_that_breaks_stays_the_callers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ForgetfulPool.made = []
    monkeypatch.setattr("taskmanager.executors.KillablePool", ForgetfulPool)
    pool = ForgetfulPool()
    async with managing(pool) as manager:
        task = manager.submit(PRIMES)
        await manager.wait(task.task_id, since=2)
        assert task.error is not None
        assert task.error["code"] == "executor_lost"
    assert pool.forgotten.is_alive()
    pool.forgotten.kill()
    await asyncio.to_thread(pool.forgotten.join, 10)


async def test_a_stop_cancels_all_answers_all_and_leaves_nothing(gate: Gate) -> None:
    before = asyncio.all_tasks()
    async with managing(workers=1, wait_timeout=1000) as manager:
        tasks = [manager.submit(SUM) for _ in range(3)]
        await settle()
        polls = [asyncio.create_task(manager.wait(task.task_id)) for task in tasks]
        await settle()
        manager.begin_stop()
        manager.begin_stop()  # a second signal changes nothing
        assert [(await poll).status.value for poll in polls] == ["cancelled"] * 3
        with pytest.raises(ShuttingDownError):
            manager.submit(SUM)
    assert asyncio.all_tasks() == before


async def test_the_end_of_the_block_stops_too() -> None:
    manager = TaskManager(settings(work_scale=1000))
    async with manager:
        task = manager.submit(SUM)
    assert task.status.value == "cancelled"
