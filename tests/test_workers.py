"""Five at a time, each in a task of its own.

What ends a task, and what ends a worker.
"""

import asyncio
import contextlib
import gc
import logging
from typing import Any
from unittest.mock import Mock

import pytest

from taskmanager import workers
from taskmanager.pending import PendingQueue
from taskmanager.task import Task
from taskmanager.testing import VirtualLoop, clocks_of, run_in_virtual_time
from taskmanager.workers import WorkerPool
from tests.helpers import SUM, Gate, managing, settings, settle


def statuses(tasks: list[Task]) -> list[str]:
    return [task.status.value for task in tasks]


async def test_five_run_at_once_and_any_that_ends_makes_room(gate: Gate) -> None:
    async with managing() as manager:
        tasks = [manager.submit(SUM) for _ in range(7)]
        await settle()
        assert statuses(tasks) == [*5 * ["processing"], "queued", "queued"]

        # It is not the first, and the other four go on: no batch.
        gate.open(3)
        await settle()
        assert statuses(tasks) == [
            "processing",
            "processing",
            "processing",
            "completed",
            "processing",
            "processing",
            "queued",
        ]

        gate.open(5)
        await settle()
        assert statuses(tasks) == [
            "processing",
            "processing",
            "processing",
            "completed",
            "processing",
            "completed",
            "processing",
        ]


async def test_a_slow_task_does_not_hold_up_quick_ones(gate: Gate) -> None:
    async with managing(workers=2) as manager:
        tasks = [manager.submit(SUM) for _ in range(20)]
        for number in range(1, 20):
            await settle()
            gate.open(number)

        await settle()
        assert statuses(tasks) == ["processing", *19 * ["completed"]]


async def test_what_takes_no_time_costs_its_worker_one_turn_of_the_loop() -> None:
    # Turns are long where many poll; with two for each task, the queue
    # would empty half as fast.
    async with managing(workers=1, work_scale=0) as manager:
        tasks = [manager.submit(SUM) for _ in range(20)]
        turns = 0
        while not tasks[-1].finished:
            await asyncio.sleep(0)
            turns += 1

    assert statuses(tasks) == 20 * ["completed"]
    assert turns <= 22


async def test_a_cancelled_handler_sees_cancelled_error(handle_with: Any) -> None:
    log: list[str] = []

    async def run(*_: Any) -> dict[str, Any]:
        log.append("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

        return {}

    handle_with(run)

    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()

        manager.cancel(task.task_id)
        await settle()
        assert log == ["started", "cancelled"]
        assert task.status.value == "cancelled"


async def test_a_cancelled_handler_may_clean_up_before_the_manager_is_gone(
    handle_with: Any,
) -> None:
    log: list[str] = []

    async def run(*_: Any) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            await settle()
            log.append("cleaned up")
        return {}

    handle_with(run)
    async with managing() as manager:
        manager.submit(SUM)
        await settle()

    assert log == ["cleaned up"]


async def test_nothing_comes_after_the_end_of_a_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with managing(task_timeout=0.002) as manager:
        task = manager.submit(SUM)
        await manager.wait(task.task_id, since=2)

        # That is past its timeout.
        await asyncio.sleep(0.004)
        assert task.status.value == "completed"
        assert "dropped" not in caplog.text


async def test_a_handler_that_ends_when_it_is_cancelled_is_not_warned_of(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "UNWIND", 0.001)
    async with managing(workers=1) as manager:
        task = manager.submit(SUM)
        await settle()

        # That is past the time that it has.
        manager.cancel(task.task_id)
        await asyncio.sleep(0.002)

    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert not warnings


def test_a_task_times_out_at_the_moment() -> None:
    async def time_out() -> list[float]:
        clock = asyncio.get_running_loop().time
        ends = []
        async with managing(workers=2, work_scale=1.0, task_timeout=3) as manager:
            # One begins while nothing processes, one beside another.
            for pause in (0.5, 0):
                await asyncio.sleep(pause)
                begun = clock()
                task = manager.submit(SUM)
                manager.submit(SUM)
                await manager.wait(task.task_id, since=2)
                assert task.error == {
                    "code": "timeout",
                    "message": "The task took longer than 3 seconds.",
                }
                ends.append(clock() - begun)

        return ends

    with contextlib.closing(VirtualLoop()) as loop, clocks_of(loop):
        assert loop.run_until_complete(time_out()) == pytest.approx([3, 3], abs=0.01)


async def test_a_handler_that_ignores_its_cancellation_does_not_keep_its_worker(
    handle_with: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(workers, "UNWIND", 0.0)
    release = asyncio.Event()

    async def run(*_: Any) -> dict[str, Any]:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

        return {"late": True}

    handle_with(run)

    async with managing(workers=1) as manager:
        first = manager.submit(SUM)
        second = manager.submit(SUM)
        await settle()

        manager.cancel(first.task_id)
        await settle()
        assert statuses([first, second]) == ["cancelled", "processing"]

        (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
        warned = f"task {first.task_id}: its handler ignores its cancellation"
        assert warning.getMessage() == warned
        assert len(manager._pool.interrupted) == 1

        release.set()
        await settle()
        assert first.status.value == "cancelled"
        assert first.result is None

        dropped = f"task {first.task_id} is cancelled already: completed is dropped"
        assert dropped in [record.getMessage() for record in caplog.records]
        assert not manager._pool.interrupted
        assert second.status.value == "completed"


async def test_the_first_end_wins_when_cancel_and_completion_meet(gate: Gate) -> None:
    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()

        # Both are in one turn of the loop: the handler has not run on
        # yet.
        gate.open(0)
        manager.cancel(task.task_id)
        await settle()
        assert task.status.value == "cancelled"
        assert task.result is None
        assert task.version == 3


async def test_a_task_that_takes_too_long_fails_and_frees_its_worker(
    gate: Gate,
) -> None:
    async with managing(workers=1, task_timeout=0.001) as manager:
        first = manager.submit(SUM)
        second = manager.submit(SUM)
        await manager.wait(first.task_id, since=2)
        assert first.error == {
            "code": "timeout",
            "message": "The task took longer than 0.001 seconds.",
        }

        await manager.wait(second.task_id, since=1)
        assert second.status.value in ("processing", "failed")


@pytest.mark.parametrize("last", ["worker-1", "worker-2", "timeouts"])
async def test_the_pool_ends_with_the_last_of_its_loops(last: str) -> None:
    ends: dict[str, asyncio.Future[None]] = {}

    def keep_alive(name: str, run: Any) -> "asyncio.Future[None]":
        ends[name] = asyncio.get_running_loop().create_future()
        return ends[name]

    supervisor = Mock(keep_alive=keep_alive)
    pool = WorkerPool(Mock(), Mock(), Mock(), settings(workers=2))
    running = pool.run(supervisor)
    for name in set(ends) - {last}:
        ends[name].set_result(None)
    await settle()
    assert not running.done()

    ends[last].set_result(None)
    await settle()
    assert running.done()


async def test_each_loop_has_a_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fault(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(workers.WorkerPool, "_work", fault)
    monkeypatch.setattr(workers.WorkerPool, "_time_out", fault)
    monkeypatch.setattr("taskmanager.cleanup.sweep_tasks", fault)

    async with managing(workers=2) as manager:
        await settle()
        assert manager._supervisor.dead == {
            "worker-1",
            "worker-2",
            "timeouts",
            "cleanup",
        }


async def test_a_crash_tells_its_traceback_to_the_log_alone(
    handle_with: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(*_: Any) -> dict[str, Any]:
        raise ValueError("a secret")

    handle_with(run)

    async with managing() as manager:
        task = manager.submit(SUM)
        await manager.wait(task.task_id, since=2)
        assert task.error == {
            "code": "internal_error",
            "message": "The task failed unexpectedly.",
        }
        assert "ValueError: a secret" in caplog.text

        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.getMessage() == f"task {task.task_id}: its handler crashed"


async def test_a_handler_cancelled_from_elsewhere_does_not_stay_processing(
    handle_with: Any,
) -> None:
    async def run(*_: Any) -> dict[str, Any]:
        raise asyncio.CancelledError

    handle_with(run)

    async with managing() as manager:
        task = manager.submit(SUM)
        await manager.wait(task.task_id, since=2)
        assert task.error is not None
        assert task.error["code"] == "internal_error"


class Rare(BaseException):
    """No Exception, as those of some libraries."""


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, Rare])
async def test_whatever_a_handler_raises_its_task_fails_at_once(
    error: type[BaseException], handle_with: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(*_: Any) -> dict[str, Any]:
        raise error("a secret")

    handle_with(run)

    async with managing(workers=1) as manager:
        tasks = [manager.submit(SUM) for _ in range(3)]
        await settle()
        for task in tasks:
            assert task.error == {
                "code": "internal_error",
                "message": "The task failed unexpectedly.",
            }
        assert manager.stats()["status"] == "ok"

        # An idle worker holds no handler: all are told by now.
        gc.collect()
        assert caplog.text.count(f"{error.__name__}: a secret") == len(tasks)


def test_ctrl_c_that_meets_a_handler_fails_its_task_and_ends_the_loop(
    handle_with: Any,
) -> None:
    async def run(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    handle_with(run)

    async def play() -> str:
        async with managing() as manager:
            task = manager.submit(SUM)
            await manager.wait(task.task_id, since=2)
            assert task.error is not None
            return task.error["code"]

    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        playing = loop.create_task(play())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(playing)
        # Whoever goes on finds nothing broken.
        assert loop.run_until_complete(playing) == "internal_error"


@pytest.mark.parametrize("turns", range(1, 5))
async def test_a_handler_may_be_cancelled_before_its_first_step(
    turns: int, gate: Gate
) -> None:
    async with managing() as manager:
        await settle()
        before = asyncio.all_tasks()
        task = manager.submit(SUM)
        for _ in range(turns):
            await asyncio.sleep(0)

        (handler,) = asyncio.all_tasks() - before
        handler.cancel()
        await settle()
        assert task.error is not None
        assert task.error["code"] == "internal_error"

        # Its worker has another.
        tasks = [manager.submit(SUM) for _ in range(5)]
        await settle()
        assert statuses(tasks) == ["processing"] * 5


async def test_a_worker_that_dies_with_a_task_in_hand_fails_it_and_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("taskmanager.supervisor.FIRST_PAUSE", 0.0)
    run_handler = WorkerPool._run_handler

    def fault(pool: WorkerPool, task: Task) -> None:
        monkeypatch.setattr(WorkerPool, "_run_handler", run_handler)
        raise RuntimeError("a fault in the worker")

    monkeypatch.setattr(WorkerPool, "_run_handler", fault)

    async with managing(workers=1) as manager:
        task = manager.submit(SUM)
        await manager.wait(task.task_id, since=2)
        assert task.error is not None
        assert task.error["code"] == "internal_error"
        assert "RuntimeError: a fault in the worker" in caplog.text

        again = manager.submit(SUM)
        await manager.wait(again.task_id, since=2)
        assert again.status.value == "completed"
        assert manager.stats()["restarts"] == 1
        assert manager.stats()["status"] == "ok"


def test_a_worker_that_dies_while_it_waits_is_told_and_loses_no_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get = PendingQueue._get

    def fault(queue: PendingQueue) -> Task:
        monkeypatch.setattr(PendingQueue, "_get", get)
        raise RuntimeError("a fault in the queue")

    async def watch() -> None:
        async with managing(workers=1, cleanup_interval=1000) as manager:
            task = manager.submit(SUM)
            await asyncio.sleep(0.9)
            assert manager.stats()["status"] == "degraded"
            assert task.status.value == "queued"

            # It is started again after a second.
            await manager.wait(task.task_id, since=2)
            assert task.status.value == "completed"
            assert manager.stats()["status"] == "ok"

    monkeypatch.setattr(PendingQueue, "_get", fault)
    run_in_virtual_time(watch())


async def test_while_nothing_is_in_process_timeouts_are_looked_for_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.Event().wait()

    monkeypatch.setattr("taskmanager.supervisor.asyncio.sleep", sleep)
    pool = workers.WorkerPool(
        PendingQueue(1),
        None,
        None,
        settings(task_timeout=60.0),  # type: ignore[arg-type]
    )
    watching = asyncio.create_task(pool._time_out())
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn
    assert slept == [60.0]
    watching.cancel()
