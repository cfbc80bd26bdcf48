"""Plays the day of one seed.

The application runs, its clients, and the model that watches both.

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

# Seconds after which all that was accepted has ended and is forgotten.
REST = 2 * 3600.0
# Seconds after which handlers have ended that ignore their
# cancellation.
UNWINDING = 60.0


def names_of_tasks() -> set[str]:
    """The asyncio.Tasks that run; a loop keeps its name for ever."""
    return {task.get_name() for task in asyncio.all_tasks()}


class Summary(NamedTuple):
    """What happened in the day of one seed."""

    # Of all that was noted: the same for the same seed, on every Python
    # version.
    fingerprint: int
    counts: Counter[str]


class SeedError(AssertionError):
    """The day of a seed broke an invariant.

    The text says which, shows the last steps, and how to play the day
    again.
    """


def play(seed: int, fault: Fault | None = None) -> Summary:
    """Simulate one day, with a fault in the engine or without.

    Raises SeedError.
    """
    faulty = contextlib.nullcontext() if fault is None else fault.patched()
    with (
        faulty,
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
            # What an engine raises at its end that is known to be
            # broken is of no interest.
            if day.model.broken is None:
                raise
        if day.model.broken is not None:
            _abandon(loop)

    if day.model.broken is not None:
        raise SeedError(_report(seed, fault, day))
    return Summary(day.journal.fingerprint, day.journal.counts)


def _report(seed: int, fault: Fault | None, day: "_Day") -> str:
    """Which invariant is broken, the last steps, and the command."""
    command = f"python -m tests.simulation --seed {seed}"
    if fault is not None:
        command += f" --fault {fault.name}"
    lines = [
        f"seed {seed}, at {day.journal.time()}: {day.model.broken}",
        *(f"  {step}" for step in day.journal.last),
        f"The same day again: {command}",
    ]
    return "\n".join(lines)


class _Day:
    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self._rng = random.Random(f"seed {seed}")
        self._loop = loop
        self.journal = Journal(loop.time)
        self.model = Model(choose_settings(self._rng, seed), loop.time, self.journal)

    async def run(self) -> None:
        """Play it. What breaks is noticed by the model, or raised."""
        model = self.model
        settings = model.settings
        sabotage = Sabotage(model)
        self._loop.set_exception_handler(self._on_error)
        before = names_of_tasks()

        with surroundings(model, sabotage):
            app = create_app(settings, executor=AtOnce())
            quota = Quota(
                settings.rate_limit, settings.rate_window, settings.max_clients
            )
            requests = Requests(app, model, quota, self.journal)
            traffic = Traffic(self._rng, requests, model, sabotage)
            async with app.router.lifespan_context(app):
                limiter = app.state.limiter
                with model.noticing():
                    await self._until_the_stop(limiter, requests, traffic)
                model.stopping = True

            if model.broken is None:
                await traffic.rush()
                await asyncio.sleep(UNWINDING)
                self._expect_nothing(before, "after the stop")
                model.check_log()

            # FastAPI keeps an app for as long as the process runs.
            del app.state.manager

    async def _until_the_stop(
        self, limiter: Any, requests: Requests, traffic: Traffic
    ) -> None:
        async def look_at_rest() -> None:
            await asyncio.sleep(INSTANT)
            if self.model.broken is not None:
                raise self.model.broken

            # Nobody can see from outside how many clients are
            # remembered.
            clients = len(limiter._accepted) if limiter else 0
            await requests.check_health(clients)

        await look_at_rest()
        running = names_of_tasks()
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

    def _expect_nothing(self, running: set[str], when: str) -> None:
        jobs = self.model.queued + self.model.processing
        tasks = names_of_tasks() ^ running
        left = [*jobs, *tasks, *self.model.polls]
        if left:
            names = ", ".join(map(str, left))
            raise InvariantError(f"{when} there is left: {names}")

    def _on_error(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        with self.model.noticing():
            raise InvariantError(f"{context['message']}: {context.get('exception')!r}")


def _abandon(loop: SimulatedLoop) -> None:
    """End a day that has failed, in whatever state it is."""
    loop.set_exception_handler(lambda *_: None)
    for _ in range(100):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return

        for task in tasks:
            task.cancel()
        with contextlib.suppress(InvariantError):
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
