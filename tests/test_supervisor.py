"""A loop that dies is logged, told, and started again.

The pause before it grows.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from taskmanager import supervisor
from taskmanager.supervisor import Supervisor


class Clock:
    """Stands in for the clock, and for sleeping, of the supervisor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.dead: list[set[str]] = []
        self.supervisor = Supervisor()

        monkeypatch.setattr(supervisor.asyncio, "get_running_loop", lambda: self)
        monkeypatch.setattr(supervisor.asyncio, "sleep", self.sleep)

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.dead.append(set(self.supervisor.dead))

    async def keep_alive(self, loop: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self.supervisor.keep_alive("worker-1", loop)


def dies(clock: Clock, lives: list[float]) -> Callable[[], Awaitable[None]]:
    """A loop that lives for each of these times.

    It dies at the end of each, and is then cancelled.
    """
    remaining = iter(lives)

    async def loop() -> None:
        life = next(remaining, None)
        if life is None:
            raise asyncio.CancelledError

        clock.now += life
        raise RuntimeError("a fault")

    return loop


async def test_the_pauses_double_up_to_thirty_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    await clock.keep_alive(dies(clock, [0.0] * 7))
    assert clock.pauses == [1, 2, 4, 8, 16, 30, 30]
    assert clock.supervisor.restarts == 7


async def test_a_loop_that_has_lived_for_thirty_seconds_starts_at_one_second_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    await clock.keep_alive(dies(clock, [0.0, 0.0, 29.9, 30.0, 0.0]))
    assert clock.pauses == [1, 2, 4, 1, 2]


async def test_it_is_dead_until_it_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    await clock.keep_alive(dies(clock, [0.0]))
    assert clock.dead == [{"worker-1"}]
    assert clock.supervisor.dead == set()


async def test_a_death_is_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(monkeypatch)
    await clock.keep_alive(dies(clock, [0.0]))

    (record,) = caplog.records
    assert record.name == "taskmanager.supervisor"
    assert record.getMessage() == "worker-1 has died"
    assert "RuntimeError: a fault" in caplog.text
