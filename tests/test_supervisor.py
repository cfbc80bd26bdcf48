"""A loop that ends is logged, told, and started again.

The pause before it grows.
"""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from taskmanager import Settings, TaskManager
from taskmanager.api import create_app
from taskmanager.errors import INTERNAL
from taskmanager.supervisor import Supervisor
from taskmanager.testing import client_of, run_in_virtual_time, running

Loop = Callable[[], Awaitable[None]]


def starts_of(spans: list[float], end: Loop) -> list[float]:
    """When a loop is started that lives for each of these times.

    It ends by ``end()``, and after the last it goes on.
    """
    starts: list[float] = []

    async def loop() -> None:
        starts.append(asyncio.get_running_loop().time())
        if len(starts) > len(spans):
            await asyncio.Event().wait()
        await asyncio.sleep(spans[len(starts) - 1])
        await end()

    async def watch() -> None:
        supervisor = Supervisor()
        ended = supervisor.keep_alive("worker-1", loop)
        await asyncio.sleep(1000)
        assert supervisor.restarts == len(spans)
        assert supervisor.dead == set()
        supervisor.stop()
        await ended

    run_in_virtual_time(watch())
    return starts


async def raises() -> None:
    raise RuntimeError("a fault")


async def is_cancelled() -> None:
    raise asyncio.CancelledError


async def returns() -> None:
    pass


async def lives() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("end", [raises, is_cancelled, returns])
def test_the_pauses_double_up_to_thirty_seconds(end: Loop) -> None:
    starts = starts_of([0.0] * 7, end)
    assert starts == [0, 1, 3, 7, 15, 31, 61, 91]


def test_a_loop_that_has_lived_for_thirty_seconds_starts_at_one_second_again() -> None:
    lives = [0.0, 0.0, 29.5, 30.0, 0.0]
    starts = starts_of(lives, raises)
    ends = [start + life for start, life in zip(starts, lives, strict=False)]
    pauses = [start - end for start, end in zip(starts[1:], ends, strict=True)]
    assert pauses == [1, 2, 4, 1, 2]


async def fall_dead(end: Loop) -> Supervisor:
    supervisor = Supervisor()
    supervisor.keep_alive("worker-1", end)
    await asyncio.sleep(0.5)
    return supervisor


@pytest.mark.parametrize("end", [raises, is_cancelled, returns])
def test_it_is_dead_until_it_is_started_again(end: Loop) -> None:
    async def watch() -> None:
        supervisor = await fall_dead(end)
        assert supervisor.dead == {"worker-1"}
        assert supervisor.restarts == 0

    run_in_virtual_time(watch())


def test_a_stop_ends_a_loop_that_runs_and_one_that_waits_for_its_restart() -> None:
    async def watch() -> list[None]:
        supervisor = Supervisor()
        ended = [
            supervisor.keep_alive("dead", raises),
            supervisor.keep_alive("alive", lives),
        ]
        await asyncio.sleep(0.5)
        supervisor.stop()
        nothing = await asyncio.gather(*ended)
        await asyncio.sleep(100)
        assert supervisor.restarts == 0
        return nothing

    assert run_in_virtual_time(watch()) == [None, None]


@pytest.mark.parametrize("turns", range(4))
def test_a_loop_may_end_in_whichever_turn_before_the_stop(
    turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def watch() -> None:
        supervisor = Supervisor()
        ended = supervisor.keep_alive("cleanup", lives)
        await asyncio.sleep(0.5)
        background()["cleanup"].cancel()
        for _ in range(turns):
            await asyncio.sleep(0)

        supervisor.stop()
        await ended
        await asyncio.sleep(100)
        assert "cleanup" not in background()

    run_in_virtual_time(watch())
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("end", [raises, lives])
def test_who_waits_for_the_end_may_be_cancelled(
    end: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async def watch() -> None:
        supervisor = Supervisor()
        ended = supervisor.keep_alive("cleanup", end)
        await asyncio.sleep(0.5)
        ended.cancel()
        supervisor.stop()
        await asyncio.sleep(100)
        assert "cleanup" not in background()

    run_in_virtual_time(watch())
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_death_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    run_in_virtual_time(fall_dead(raises))
    (record,) = caplog.records
    assert record.name == "taskmanager.supervisor"
    assert record.getMessage() == "worker-1 has died"
    assert "RuntimeError: a fault" in caplog.text


def test_a_loop_that_was_cancelled_is_logged_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_in_virtual_time(fall_dead(is_cancelled))
    assert caplog.messages == ["worker-1 has died"]


# Every loop of the engine

LOOPS = {
    *[f"worker-{number}" for number in range(1, 6)],
    "timeouts",
    "cleanup",
    "rate limit",
}
SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
HANGING = {"task_type": "generate_report", "parameters": {"title": "x", "sections": 20}}


def background() -> dict[str, "asyncio.Task[object]"]:
    """The asyncio.Tasks that run beside this one, by name."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return {task.get_name(): task for task in tasks}


async def test_these_are_all_loops() -> None:
    async with running(create_app(Settings())):
        assert background().keys() == LOOPS
    assert background() == {}


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_whichever_loop_is_cancelled_the_engine_recovers(name: str) -> None:
    async def watch() -> None:
        app = create_app(Settings(task_timeout=8, retention=60, rate_window=60))
        async with running(app), client_of(app) as client:
            # Even where it happens twice.
            for restarts in (1, 2):
                background()[name].cancel()
                await asyncio.sleep(0.5)
                assert (await client.get("/health")).json()["status"] == "degraded"
                await asyncio.sleep(2)
                health = (await client.get("/health")).json()
                assert (health["status"], health["restarts"]) == ("ok", restarts)

            await everything_works(app, client)
        assert not background().keys() & LOOPS

    run_in_virtual_time(watch())


def test_all_loops_may_be_cancelled_at_once() -> None:
    async def watch() -> None:
        app = create_app(Settings(task_timeout=8, retention=60, rate_window=60))
        async with running(app), client_of(app) as client:
            for name in LOOPS:
                background()[name].cancel()
            await asyncio.sleep(0.5)
            assert app.state.manager.stats()["status"] == "degraded"
            await asyncio.sleep(2)
            assert app.state.manager.stats()["restarts"] == len(LOOPS)
            assert app.state.manager.stats()["status"] == "ok"
            await everything_works(app, client)

    run_in_virtual_time(watch())


async def everything_works(app: FastAPI, client: httpx.AsyncClient) -> None:
    """Five workers take a task each; timeouts and sweeps take place."""
    tasks = [(await client.post("/tasks", json=HANGING)).json() for _ in range(4)]
    tasks.append((await client.post("/tasks", json=SUM)).json())
    await asyncio.sleep(9)

    manager = app.state.manager
    ends = [manager.get(task["task_id"]).status.value for task in tasks]
    assert ends == ["failed"] * 4 + ["completed"]

    await asyncio.sleep(200)
    assert manager.stats()["tasks"] == 0
    assert app.state.limiter.forget_idle(1e9, at_most=100) == 0


def test_the_task_in_hand_fails_and_the_others_go_on() -> None:
    async def watch() -> list[tuple[str, object]]:
        async with TaskManager(Settings()) as manager:
            tasks = [manager.submit(SUM) for _ in range(3)]
            await asyncio.sleep(1)
            background()["worker-2"].cancel()
            await asyncio.sleep(10)
            return [(task.status.value, task.error) for task in tasks]

    done = ("completed", None)
    assert run_in_virtual_time(watch()) == [done, ("failed", INTERNAL), done]
