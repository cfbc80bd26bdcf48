"""What the clients do in a day, chosen by the seed: busy spells and
quiet hours.

Rule: only what runs at the agenda's turn draws from the seed, so the
same seed makes the same day. Bugs live where two things meet, so many a
request is planned for the very moment at which a task ends, a window or
a retention.
"""

import asyncio
import heapq
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

from taskmanager.settings import Settings
from tests.simulation.clock import DAY, START
from tests.simulation.job import Job, Poll
from tests.simulation.model import Model
from tests.simulation.requests import NONSENSE, Caller, Requests
from tests.simulation.surroundings import Sabotage
from tests.simulation.work import make_work

TICK = 2.0**-6  # seconds: all requests come at multiples of it

MOODS = (  # how often what is done, in a spell
    {
        "submit": 40,
        "look": 12,
        "wait": 16,
        "cancel": 10,
        "list": 3,
        "nonsense": 8,
        "sabotage": 2,
    },
    {"submit": 80, "wait": 10, "cancel": 20},
    {"submit": 20, "wait": 60, "look": 10, "cancel": 10, "list": 2},
)


def choose_settings(rng: random.Random, seed: int) -> Settings:
    """The defaults at every third seed, else some of them changed, or
    many.
    """
    choices: dict[str, tuple[Any, ...]] = {
        "workers": (1, 2, 3, 8),
        "queue_size": (1, 3, 10),
        "rate_limit": (2, 30, None),
        "rate_window": (1, 20, 120),
        "max_clients": (1, 3, 8),
        "wait_timeout": (2.0, 30.0),
        "retention": (0.0, 20.0, 100.0),
        "cleanup_interval": (5.0, 90.0),
        "max_tasks": (3, 10, 40),
        "task_timeout": (4.5, 12.5),
    }
    share = (0, 0.25, 0.5)[seed % 3]
    return Settings(
        **{
            name: rng.choice(values)
            for name, values in choices.items()
            if rng.random() < share
        }
    )


def make_clients(rng: random.Random) -> list[list[Caller]]:
    """Clients, each with the addresses that count as its own."""
    clients = [
        [
            Caller(f"10.0.0.{n}", address)
            for address in (f"10.0.0.{n}", f"::ffff:10.0.0.{n}")
        ]
        for n in range(20)
    ]
    clients += [
        [Caller(f"net {n}", f"2001:db8:0:{n}:{host}::1") for host in ("0", "ffff")]
        for n in range(9)
    ]
    clients.append([Caller("nobody", None)])
    return rng.sample(clients, rng.choice((3, 12, 30)))


class Traffic:
    """The agenda of a day, and what is done at each of its turns."""

    def __init__(
        self, rng: random.Random, requests: Requests, model: Model, sabotage: Sabotage
    ) -> None:
        self._rng, self._requests, self._model, self._sabotage = (
            rng,
            requests,
            model,
            sabotage,
        )
        self._clock, self._clients = model.clock, make_clients(rng)
        self._jobs: list[Job] = []
        self._seen_finished = 0
        self._agenda: list[
            tuple[float, int, Callable[..., Awaitable[None]], tuple[Any, ...]]
        ] = []
        self._planned = 0
        self._open: set[asyncio.Task[None]] = set()  # long polls and lists
        self.plan(START + TICK, self._spell)

    def plan(self, at: float, what: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Do something at ``at``, unless the day is over by then."""
        self._planned += 1
        at = max(at, math.ceil(self._clock() / TICK) * TICK)
        if at < START + DAY:
            heapq.heappush(self._agenda, (at, self._planned, what, args))

    def next_turn(self) -> float | None:
        """When there is something to do again."""
        return self._agenda[0][0] if self._agenda else None

    async def act(self) -> None:
        """Do what is planned for this moment."""
        now = self._agenda[0][0]
        while self._agenda and self._agenda[0][0] == now:
            _, _, what, args = heapq.heappop(self._agenda)
            await what(*args)

    def follow_up(self) -> None:
        """Plan what follows from what has happened."""
        rng, settings = self._rng, self._model.settings
        for refused in self._requests.refused:
            if rng.random() < 0.3:
                caller = rng.choice(
                    next(
                        callers
                        for callers in self._clients
                        if callers[0].client == refused.client
                    )
                )
                self.plan(
                    refused.until - rng.choice((0, 0, 0, TICK)),
                    self._step,
                    caller,
                    MOODS[0],
                )
        self._requests.refused.clear()
        for job in self._model.finished[self._seen_finished :]:
            if rng.random() < 0.1:
                at = (
                    job.changes[-1][0]
                    + settings.retention
                    + rng.choice((0, settings.cleanup_interval))
                )
                self.plan(
                    at + rng.choice((-TICK, 0, TICK)), self._look, self._caller(), job
                )
        self._seen_finished = len(self._model.finished)

    def _start(self, request: Awaitable[None]) -> None:
        """Let a request run that takes its time."""

        async def run() -> None:
            with self._model.noticing():
                await request

        task = asyncio.ensure_future(run())
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def rush(self) -> None:
        """All clients at once."""
        for callers in self._clients:
            await self._submit(callers[0])
            await self._wait(callers[0])

    async def _spell(self) -> None:
        """Plan a busy spell, and the next one after a quiet time."""
        rng, now = self._rng, self._clock()
        mood, pace = rng.choice(MOODS), rng.choice((0, TICK, 0.25, 1, 4))
        clients = rng.sample(self._clients, rng.randint(1, len(self._clients)))
        steps = rng.randint(1, 30)
        if rng.random() < 0.1:  # all clients fill the queue
            mood, pace, clients, steps = (
                MOODS[1],
                rng.choice((0, TICK, 0.25)),
                self._clients,
                160,
            )
        for step in range(steps):
            self.plan(
                now + step * pace, self._step, rng.choice(rng.choice(clients)), mood
            )
        end = now + steps * pace
        # most that were submitted have ended by then
        self.plan(end + 64, self._see_all)
        self.plan(
            end + rng.choice((1, 60, 7200, 14_400)) * rng.randint(1, 64) / 64,
            self._spell,
        )

    async def _see_all(self) -> None:
        self._start(
            self._requests.list_tasks(
                self._caller(), None, None, self._rng.random() < 0.5
            )
        )

    async def _step(self, caller: Caller, mood: dict[str, int]) -> None:
        """Do one thing."""
        rng = self._rng
        (what,) = rng.choices(list(mood), list(mood.values()))
        job = self._some_job()
        match what:
            case "sabotage":
                self._sabotage.doom(
                    rng.choice(("worker", "cleanup")), rng.choice((1, 1, 3))
                )
            case "list":
                status = rng.choice(
                    (
                        None,
                        None,
                        "queued",
                        "processing",
                        "completed",
                        "failed",
                        "cancelled",
                    )
                )
                limit, as_lines = rng.choice((None, 1, 5)), rng.random() < 0.5
                self._start(self._requests.list_tasks(caller, status, limit, as_lines))
            case "nonsense":
                await self._requests.send_nonsense(caller, rng.choice(NONSENSE))
            case "look" if job:
                await self._look(caller, job)
            case "cancel" if job:
                await self._requests.cancel(caller, job)
            case "wait" if job:
                await self._wait(caller)
            case _:
                await self._submit(caller)
        if rng.random() < 0.05:
            self.plan(
                self._clock() + self._model.settings.rate_window,
                self._step,
                caller,
                mood,
            )
        if rng.random() < 0.1:
            # the engine goes on a little in the midst of a burst
            await asyncio.sleep(0)

    async def _submit(self, caller: Caller) -> None:
        rng = self._rng
        work, priority = make_work(rng), rng.choice((None, "high", "normal", "low"))
        job = await self._requests.submit(caller, work, priority)
        if job is None:
            return
        self._jobs.append(job)
        if rng.random() < 0.2:  # when it ends, if it starts at once
            self.plan(
                self._clock() + work.seconds,
                rng.choice((self._look, self._cancel)),
                self._caller(),
                job,
            )

    async def _look(self, caller: Caller, job: Job) -> None:
        await self._requests.look(caller, job)

    async def _cancel(self, caller: Caller, job: Job) -> None:
        await self._requests.cancel(caller, job)

    async def _wait(self, caller: Caller) -> None:
        rng, model = self._rng, self._model
        unfinished = model.processing + model.queued
        job = (
            rng.choice(unfinished)
            if unfinished and rng.random() < 0.7
            else self._some_job()
        )
        if job is None:
            return
        version = len(job.changes)
        poll = Poll(
            job, rng.choice((None, 0, version - 1, version, version, version + 1))
        )
        self._start(self._requests.wait(caller, poll))
        if rng.random() < 0.2:
            self.plan(
                self._clock() + rng.choice((0, TICK, 1, 5, 10)), self._leave, poll
            )

    async def _leave(self, poll: Poll) -> None:
        poll.gone.set()

    def _caller(self) -> Caller:
        return self._rng.choice(self._rng.choice(self._clients))

    def _some_job(self) -> Job | None:
        """A job: most often one of the last, else any of this day."""
        if not self._jobs:
            return None
        return self._rng.choice(self._jobs[-self._rng.choice((3, 20, 20, 100, 300)) :])
