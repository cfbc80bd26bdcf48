"""What the clients do in a day, chosen by the seed.

There are busy spells and quiet hours.

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
from typing import Any, NamedTuple

from taskmanager.settings import Settings
from tests.simulation.clock import DAY, START
from tests.simulation.job import Job, Poll
from tests.simulation.model import Model
from tests.simulation.requests import NONSENSE, Caller, Refused, Requests
from tests.simulation.surroundings import Sabotage
from tests.simulation.work import make_work

Mood = dict[str, int]
Action = Callable[..., Awaitable[None]]

# Seconds: all requests come at multiples of it.
TICK = 2.0**-6

# How often what is done, in a spell.
USUAL: Mood = {
    "submit": 40,
    "look": 12,
    "wait": 16,
    "cancel": 10,
    "list": 3,
    "nonsense": 8,
    "sabotage": 2,
}
SUBMITTING: Mood = {"submit": 80, "wait": 10, "cancel": 20}
WAITING: Mood = {
    "submit": 20,
    "wait": 60,
    "look": 10,
    "cancel": 10,
    "list": 2,
}
MOODS = (USUAL, SUBMITTING, WAITING)

STATUSES = (
    None,
    None,
    "queued",
    "processing",
    "completed",
    "failed",
    "cancelled",
)


def choose_settings(rng: random.Random, seed: int) -> Settings:
    """The defaults at every third seed, else some or many changed."""
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
    chosen = {
        name: rng.choice(values)
        for name, values in choices.items()
        if rng.random() < share
    }
    return Settings(**chosen)


def make_clients(rng: random.Random) -> list[list[Caller]]:
    """Clients, each with the addresses that count as its own."""
    clients = []
    for number in range(20):
        name = f"10.0.0.{number}"
        clients.append([Caller(name, name), Caller(name, f"::ffff:{name}")])
    for number in range(9):
        name = f"net {number}"
        net = f"2001:db8:0:{number}"
        clients.append([Caller(name, f"{net}:0::1"), Caller(name, f"{net}:ffff::1")])
    clients.append([Caller("nobody", None)])
    return rng.sample(clients, rng.choice((3, 12, 30)))


class Plan(NamedTuple):
    """Something to do; of two at one time, the first planned."""

    at: float
    number: int
    action: Action
    arguments: tuple[Any, ...]


class Traffic:
    """The agenda of a day, and what is done at each of its turns."""

    def __init__(
        self, rng: random.Random, requests: Requests, model: Model, sabotage: Sabotage
    ) -> None:
        self._rng = rng
        self._requests = requests
        self._model = model
        self._sabotage = sabotage
        self._clock = model.clock
        self._clients = make_clients(rng)
        self._jobs: list[Job] = []
        self._seen_finished = 0
        self._agenda: list[Plan] = []
        self._planned = 0
        # Long polls and lists.
        self._open: set[asyncio.Task[None]] = set()
        self.plan(START + TICK, self._spell)

    def plan(self, at: float, action: Action, *arguments: Any) -> None:
        """Do something at ``at``, unless the day is over by then."""
        self._planned += 1
        next_tick = math.ceil(self._clock() / TICK) * TICK
        at = max(at, next_tick)
        if at < START + DAY:
            plan = Plan(at, self._planned, action, arguments)
            heapq.heappush(self._agenda, plan)

    def next_turn(self) -> float | None:
        """When there is something to do again."""
        return self._agenda[0].at if self._agenda else None

    async def act(self) -> None:
        """Do what is planned for this moment."""
        now = self.next_turn()
        while self.next_turn() == now:
            plan = heapq.heappop(self._agenda)
            await plan.action(*plan.arguments)

    def follow_up(self) -> None:
        """Plan what follows from what has happened."""
        for refused in self._requests.refused:
            if self._rng.random() < 0.3:
                self._plan_to_come_again(refused)
        self._requests.refused.clear()

        for job in self._model.finished[self._seen_finished :]:
            if self._rng.random() < 0.1:
                self._plan_to_look_at_its_end(job)
        self._seen_finished = len(self._model.finished)

    def _plan_to_come_again(self, refused: Refused) -> None:
        """Let a client come when its limit allows it, or before."""
        (callers,) = (
            callers for callers in self._clients if callers[0].client == refused.client
        )
        caller = self._rng.choice(callers)
        early = self._rng.choice((0, 0, 0, TICK))
        self.plan(refused.until - early, self._step, caller, USUAL)

    def _plan_to_look_at_its_end(self, job: Job) -> None:
        """Let somebody look when a record is just about to go."""
        rng = self._rng
        settings = self._model.settings
        after = settings.retention + rng.choice((0, settings.cleanup_interval))
        at = job.last_change.at + after
        self.plan(
            at + rng.choice((-TICK, 0, TICK)),
            self._look,
            self._caller(),
            job,
        )

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
        rng = self._rng
        now = self._clock()
        mood = rng.choice(MOODS)
        pace = rng.choice((0, TICK, 0.25, 1, 4))
        clients = rng.sample(self._clients, rng.randint(1, len(self._clients)))
        steps = rng.randint(1, 30)
        if rng.random() < 0.1:
            # All clients fill the queue.
            mood = SUBMITTING
            pace = rng.choice((0, TICK, 0.25))
            clients = self._clients
            steps = 160

        for step in range(steps):
            caller = rng.choice(rng.choice(clients))
            self.plan(now + step * pace, self._step, caller, mood)

        # Most that were submitted have ended 64 s later.
        end = now + steps * pace
        self.plan(end + 64, self._see_all)
        quiet = rng.choice((1, 60, 7200, 14_400)) * rng.randint(1, 64) / 64
        self.plan(end + quiet, self._spell)

    async def _see_all(self) -> None:
        caller = self._caller()
        as_lines = self._rng.random() < 0.5
        self._start(self._requests.list_tasks(caller, None, None, as_lines))

    async def _step(self, caller: Caller, mood: Mood) -> None:
        """Do one thing, and perhaps plan another."""
        rng = self._rng
        (what,) = rng.choices(list(mood), list(mood.values()))
        await self._do(what, caller, self._some_job())

        if rng.random() < 0.05:
            window = self._model.settings.rate_window
            self.plan(self._clock() + window, self._step, caller, mood)
        if rng.random() < 0.1:
            # The engine goes on a little in the midst of a burst.
            await asyncio.sleep(0)

    async def _do(self, what: str, caller: Caller, job: Job | None) -> None:
        rng = self._rng
        match what:
            case "sabotage":
                loop = rng.choice(("worker", "cleanup"))
                self._sabotage.doom(loop, rng.choice((1, 1, 3)))
            case "list":
                status = rng.choice(STATUSES)
                limit = rng.choice((None, 1, 5))
                as_lines = rng.random() < 0.5
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

    async def _submit(self, caller: Caller) -> None:
        rng = self._rng
        work = make_work(rng)
        priority = rng.choice((None, "high", "normal", "low"))
        job = await self._requests.submit(caller, work, priority)
        if job is None:
            return

        self._jobs.append(job)
        if rng.random() < 0.2:
            # Then it ends, if it starts at once.
            at = self._clock() + work.seconds
            action = rng.choice((self._look, self._cancel))
            self.plan(at, action, self._caller(), job)

    async def _look(self, caller: Caller, job: Job) -> None:
        await self._requests.look(caller, job)

    async def _cancel(self, caller: Caller, job: Job) -> None:
        await self._requests.cancel(caller, job)

    async def _wait(self, caller: Caller) -> None:
        rng = self._rng
        unfinished = self._model.processing + self._model.queued
        if unfinished and rng.random() < 0.7:
            job: Job | None = rng.choice(unfinished)
        else:
            job = self._some_job()
        if job is None:
            return

        version = len(job.changes)
        since = rng.choice((None, 0, version - 1, version, version, version + 1))
        poll = Poll(job, since)
        self._start(self._requests.wait(caller, poll))
        if rng.random() < 0.2:
            patience = rng.choice((0, TICK, 1, 5, 10))
            self.plan(self._clock() + patience, self._leave, poll)

    async def _leave(self, poll: Poll) -> None:
        poll.gone.set()

    def _caller(self) -> Caller:
        return self._rng.choice(self._rng.choice(self._clients))

    def _some_job(self) -> Job | None:
        """A job: most often one of the last, else any of this day."""
        if not self._jobs:
            return None

        latest = self._rng.choice((3, 20, 20, 100, 300))
        return self._rng.choice(self._jobs[-latest:])
