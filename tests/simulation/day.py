"""Plays the day of one seed: the application, its clients, and the
model that watches both.

Rule: after each moment at which clients do something, the engine comes
to rest and is looked at. In the end it is left alone until nothing is
left, or stopped in the midst of a rush, or both.
"""

import asyncio
import contextlib
import random
from collections import Counter
from typing import Any, NamedTuple

from taskmanager.api import create_app
from taskmanager.testing import clocks_of
from tests.simulation.clock import DAY, INSTANT, START, SimulatedLoop
from tests.simulation.faults import Fault
from tests.simulation.journal import InvariantError, Journal
from tests.simulation.model import Model
from tests.simulation.quota import Quota
from tests.simulation.requests import Requests
from tests.simulation.surroundings import Sabotage, surroundings
from tests.simulation.traffic import Traffic, choose_settings
from tests.simulation.work import AtOnce

# seconds, after which all that was accepted has ended and is forgotten
REST = 2 * 3600.0
# seconds, after which handlers have ended that ignore their
# cancellation
UNWINDING = 60.0


class Summary(NamedTuple):
    """What happened in the day of one seed."""

    # of all that was noted: the same for the same seed, on every Python
    # version
    fingerprint: int
    counts: Counter[str]


class SeedError(AssertionError):
    """The day of a seed broke an invariant: which, the last steps, and
    how to play it again.
    """


def play(seed: int, fault: Fault | None = None) -> Summary:
    """Simulate one day, with a fault in the engine or without. Raises
    SeedError.
    """
    with (
        fault.patched() if fault else contextlib.nullcontext(),
        contextlib.closing(SimulatedLoop()) as loop,
        clocks_of(loop),
    ):
        day = _Day(seed, loop)
        try:
            loop.run_until_complete(day.run())
        except InvariantError as broken:
            with day.model.noticing():
                raise broken
        except Exception:
            # else what a broken engine raises at its end is of no
            # interest
            if day.model.broken is None:
                raise
        if day.model.broken is not None:
            _abandon(loop)
    if day.model.broken is not None:
        command = f"python -m tests.simulation --seed {seed}" + (
            f" --fault {fault.name}" if fault else ""
        )
        steps = "\n".join(f"  {line}" for line in day.journal.last)
        text = f"seed {seed}, at {day.journal.time()}: {day.model.broken}\n{steps}\nThe same day again: {command}"
        raise SeedError(text)
    return Summary(day.journal.fingerprint, day.journal.counts)


class _Day:
    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self._rng, self._loop = random.Random(f"seed {seed}"), loop
        self.journal = Journal(loop.time)
        self.model = Model(choose_settings(self._rng, seed), loop.time, self.journal)

    async def run(self) -> None:
        """Play it. What is broken is noticed by the model, or raised."""
        model, settings, sabotage = (
            self.model,
            self.model.settings,
            Sabotage(self.model),
        )
        self._loop.set_exception_handler(self._on_error)
        before = asyncio.all_tasks()
        with surroundings(model, sabotage):
            app = create_app(settings, executor=AtOnce())
            quota = Quota(
                settings.rate_limit, settings.rate_window, settings.max_clients
            )
            requests = Requests(app, model, quota, self.journal)
            traffic = Traffic(self._rng, requests, model, sabotage)
            async with app.router.lifespan_context(app):
                with model.noticing():
                    await self._until_the_stop(app.state.limiter, requests, traffic)
                model.stopping = True
            if model.broken is None:
                await traffic.rush()
                await asyncio.sleep(UNWINDING)
                self._expect_nothing(before, "after the stop")
                model.check_log()
            # FastAPI keeps an app for as long as the process runs
            del app.state.manager

    async def _until_the_stop(
        self, limiter: Any, requests: Requests, traffic: Traffic
    ) -> None:
        async def look_at_rest() -> None:
            await asyncio.sleep(INSTANT)
            if self.model.broken is not None:
                raise self.model.broken
            # What nobody can see from outside: how many clients are
            # remembered.
            await requests.check_health(len(limiter._accepted) if limiter else 0)

        await look_at_rest()
        running = asyncio.all_tasks()
        while (at := traffic.next_turn()) is not None:
            await asyncio.sleep(at - self._loop.time())
            await traffic.act()
            await look_at_rest()
            traffic.follow_up()
        await asyncio.sleep(START + DAY - self._loop.time())
        await traffic.rush()
        if self._rng.random() < 0.5:
            await asyncio.sleep(REST)
            await look_at_rest()
            self._expect_nothing(running, "two hours later")
            if self.model.gone < len(self.model.jobs):
                raise InvariantError("two hours later a record is left")
            await traffic.rush()
        await look_at_rest()

    def _expect_nothing(self, running: set[asyncio.Task[Any]], when: str) -> None:
        left = self.model.queued + self.model.processing
        tasks = asyncio.all_tasks() ^ running
        if left or tasks or self.model.polls:
            raise InvariantError(
                f"{when} there is left: {', '.join(map(str, [*left, *tasks, *self.model.polls]))}"
            )

    def _on_error(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        with self.model.noticing():
            raise InvariantError(f"{context['message']}: {context.get('exception')!r}")


def _abandon(loop: SimulatedLoop) -> None:
    """End a day that has failed, in whatever state it is."""
    loop.set_exception_handler(lambda *_: None)
    for _ in range(100):
        if tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            with contextlib.suppress(InvariantError):
                loop.run_until_complete(asyncio.wait(tasks, timeout=1))
