"""What is forgotten, and when, to the exact edge."""

import asyncio
import time
from typing import Any

import pytest
from freezegun import freeze_time

from taskmanager import cleanup
from taskmanager.cleanup import sweep
from taskmanager.errors import TaskNotFoundError
from taskmanager.store import TaskStore
from taskmanager.task import TaskStatus
from tests.helpers import (
    SUM,
    Gate,
    client_of,
    managing,
    new_task,
    running,
    settle,
)


def store_finished_at(*times: float) -> TaskStore:
    store = TaskStore(10_000)
    for number, finished_at in enumerate(times):
        task = new_task(number)
        store.add(task)
        task.change_status(TaskStatus.CANCELLED, "", finished_at)
        store.finished.append(task)

    return store


@pytest.mark.parametrize(("now", "kept"), [(609.999, 1), (610.0, 0), (610.001, 0)])
def test_a_task_goes_exactly_retention_after_its_finish(now: float, kept: int) -> None:
    store = store_finished_at(10.0)
    sweep(store, now, 600)
    assert len(store.by_id) == kept


def test_an_unfinished_task_never_goes() -> None:
    store = TaskStore(10)
    store.add(new_task())
    sweep(store, 1e9, 0)
    assert len(store.by_id) == 1


def test_a_sweep_removes_a_batch_and_says_whether_more_may_be_due() -> None:
    store = store_finished_at(*[0.0] * (cleanup.BATCH + 1))
    assert sweep(store, 600.0, 600) is True
    assert len(store.by_id) == 1

    assert sweep(store, 600.0, 600) is False
    assert len(store.by_id) == 0


async def test_idle_clients_are_swept_too() -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with running(rate_limit=10, cleanup_interval=0.001) as app:
            limiter = app.state.limiter
            for number in range(cleanup.BATCH + 1):
                await limiter.hit(str(number), time.monotonic())

            frozen.tick(60)
            while len(limiter._accepted):
                await asyncio.sleep(0.001)


async def test_others_run_between_two_batches_of_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 1)
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with running(rate_limit=10, cleanup_interval=0.001) as app:
            limiter = app.state.limiter
            for number in range(3):
                await limiter.hit(str(number), time.monotonic())

            frozen.tick(60)
            seen = {len(limiter._accepted)}
            while len(limiter._accepted):
                await asyncio.sleep(0)
                seen.add(len(limiter._accepted))

            assert seen == {3, 2, 1, 0}


async def test_a_sweep_of_clients_that_dies_is_told_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("taskmanager.supervisor.FIRST_PAUSE", 0.05)

    def fault(now: float, at_most: int) -> int:
        raise RuntimeError("a fault in the limiter")

    async with running(rate_limit=10, cleanup_interval=0.001) as app:
        limiter = app.state.limiter
        limiter.forget_idle = fault
        client = client_of(app)
        while (await client.get("/health")).json()["status"] == "ok":
            await asyncio.sleep(0)

        health = await client.get("/health")
        assert health.status_code == 503
        assert "rate limit has died" in caplog.text
        assert "RuntimeError: a fault in the limiter" in caplog.text

        del limiter.forget_idle
        while (await client.get("/health")).json()["status"] == "degraded":
            await asyncio.sleep(0)

        assert (await client.get("/health")).json()["restarts"] >= 1


async def test_the_loop_goes_on_until_nothing_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 1)
    async with managing(retention=0, cleanup_interval=0.001) as manager:
        tasks = [manager.submit(SUM) for _ in range(5)]
        for task in tasks:
            manager.cancel(task.task_id)

        while manager.stats()["tasks"] == 5:
            await asyncio.sleep(0)
        await settle()
        assert manager.stats()["tasks"] == 0


async def test_ten_minutes_count_from_the_finish_not_from_the_submission(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with freeze_time("2026-01-01", real_asyncio=True) as frozen:
        async with managing(cleanup_interval=0.001) as manager:
            task = manager.submit(SUM)
            await settle()

            frozen.tick(3600)
            gate.open(0)
            await manager.wait(task.task_id, since=2)

            # There are some sweeps meanwhile.
            frozen.tick(599)
            await asyncio.sleep(0.01)
            assert manager.get(task.task_id) is task

            frozen.tick(1)
            while manager.stats()["tasks"]:
                await asyncio.sleep(0.001)

            with pytest.raises(TaskNotFoundError):
                manager.get(task.task_id)


async def test_others_run_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 1)
    async with managing(retention=0, cleanup_interval=0.001) as manager:
        tasks = [manager.submit(SUM) for _ in range(3)]
        for task in tasks:
            manager.cancel(task.task_id)

        seen = [3]
        while manager.stats()["tasks"]:
            await asyncio.sleep(0)
            seen.append(manager.stats()["tasks"])

        assert {3, 2, 1, 0} <= set(seen)


async def test_a_cleanup_that_dies_is_told_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("taskmanager.supervisor.FIRST_PAUSE", 0.0)
    real_sweep = sweep

    def fault(*args: Any) -> bool:
        monkeypatch.setattr(cleanup, "sweep", real_sweep)
        raise RuntimeError("a fault in the cleanup")

    monkeypatch.setattr(cleanup, "sweep", fault)

    async with managing(retention=0, cleanup_interval=0.001) as manager:
        manager.cancel(manager.submit(SUM).task_id)
        while manager.stats()["tasks"]:
            await asyncio.sleep(0.001)

        assert "cleanup has died" in caplog.text
        assert "RuntimeError: a fault in the cleanup" in caplog.text
        assert manager.stats()["restarts"] == 1
