"""Survives: what is left of a hundred jobs after kill -9.

In the midst of them the web process is killed, or a worker, and started
again at once, as whoever watches over it would. Then all are asked for,
until each is known or gone, or the patience ends. Rules: that a job ran
is told by the job itself, not by its library; results are checked. The
contestants go through it side by side, since most of it is waiting.
"""

import asyncio
import contextlib
import http.client
import json
import math
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import contestants, load
from benchmarks.contestants import Contestant, Running, running
from benchmarks.harness import Bench
from benchmarks.processes import Program

OURS = Contestant("taskmanager")
TASKIQ_TUNED = replace(
    contestants.TASKIQ,
    name="taskiq, idle_timeout of 60 s",
    variables={"TASKIQ_IDLE_TIMEOUT": "60000"},
)
CELERY_TUNED = replace(
    contestants.CELERY,
    name="Celery, acks_late, visibility_timeout of 60 s",
    variables={"CELERY_ACKS_LATE": "60"},
)
TAKING_PART = [
    OURS,
    contestants.BACKGROUND,
    contestants.SAQ,
    contestants.HUEY,
    contestants.DRAMATIQ,
    contestants.TASKIQ,
    TASKIQ_TUNED,
    contestants.CELERY,
    CELERY_TUNED,
    contestants.ARQ,
]
# Nothing here is about speed.
CONTESTANTS = [replace(each, standard=False) for each in TAKING_PART]

JOBS = 100
# Longer than it takes until a line of the engine's log is written.
JOB_SECONDS = 0.25
# Of all jobs, those that are done when something is killed.
DONE_BEFORE = 0.4
# Numbers of jobs that only show that all is running.
FIRST_OF_OTHERS = 1_000_000
# The engine's own processes are for what computes, such as this.
PRIMES = {"task_type": "count_primes", "parameters": {"limit": 20_000_000}}
PRIMES_COUNT = {"count": 1_270_607}
# Seconds until a job that has not come back is given up: longer than
# the five minutes that arq takes.
PATIENCE = 330.0
# Seconds between two rounds of questions: first, and later.
PAUSE = 0.5
SOON = 20.0
LATER_PAUSE = 2.0


@dataclass(frozen=True)
class Story:
    """What became of the jobs, after one kill."""

    contestant: str
    killed: str
    # Done by then.
    before: int
    # Not done in the end.
    not_done: int
    begun_twice: int
    # Done or not, nobody can tell the result.
    unknown: int
    # Seconds from the kill until the last result came.
    last: float
    # Seconds until all were settled, or patience ended.
    waited: float


async def run(bench: Bench) -> None:
    able = contestants.present(bench, CONTESTANTS)
    told: list[Story] = []
    for worker in (False, True):
        experiments = [
            Experiment(bench, each, worker)
            for each in able
            if each.durable or each.ours or not worker
        ]
        told += await asyncio.gather(
            *(asyncio.to_thread(experiment.tell) for experiment in experiments)
        )

    bench.samples["What became of the jobs"] = {
        f"{story.contestant}, {story.killed} killed": [asdict(story)] for story in told
    }
    _table(bench, told)


class Experiment:
    """One contestant, and one kill.

    It blocks, and has a thread of its own.
    """

    def __init__(self, bench: Bench, contestant: Contestant, worker: bool) -> None:
        self.bench = bench
        self.contestant = contestant
        self.worker = worker
        # The engine's own worker processes, which only compute.
        self.computes = worker and contestant.ours

        self.patience = bench.pick(2.0, PATIENCE)
        jobs = contestant.jobs(JOB_SECONDS)
        self.jobs = [next(jobs) for _ in range(bench.pick(10, JOBS))]
        if self.computes:
            self.jobs = [
                load.Job(job.number, json.dumps(PRIMES).encode(), PRIMES_COUNT)
                for job in self.jobs
            ]
        # The number of a job, by its id.
        self.numbers: dict[str, int] = {}
        # When a result came, in seconds from the kill.
        self.known: dict[str, float] = {}
        self.gone: set[str] = set()
        # The engine tells in its log what ran.
        self.logs: list[Path] = []

    @property
    def killed(self) -> str:
        if self.computes:
            return "a process that computes"
        return "the worker" if self.worker else "the web process"

    def tell(self) -> Story:
        with running(self.contestant, JOB_SECONDS, noted=True) as programs:
            others = self.contestant.jobs(first=FIRST_OF_OTHERS)
            asyncio.run(programs.until_started(others))
            self.logs.append(programs.web.log)

            self._submit(programs)
            before = self._until_in_the_midst(programs)
            at = time.monotonic()
            self._kill(programs)
            waited = self._ask_until_settled(programs, at)
            begun = self._runs(programs, "begun")
            done = self._runs(programs, "done")

        return Story(
            contestant=self.contestant.name,
            killed=self.killed,
            before=before,
            not_done=len(self.jobs) - len(done),
            begun_twice=sum(times > 1 for times in begun.values()),
            unknown=len(self.jobs) - len(self.known),
            last=max(self.known.values(), default=math.nan),
            waited=waited,
        )

    def _submit(self, programs: Running) -> None:
        with _connection(programs) as connection:
            for job in self.jobs:
                status, task = _ask(connection, "POST", "/tasks", job.body)
                self.bench.check(status == 202, f"a job was answered {status}")
                self.numbers[task["task_id"]] = job.number

    def _until_in_the_midst(self, programs: Running) -> int:
        """How many jobs are done by then."""
        end = time.monotonic() + load.PATIENCE
        wanted = len(self.jobs) * DONE_BEFORE
        while True:
            done = len(self._runs(programs, "done"))
            if done >= wanted:
                return done

            self.bench.check(
                time.monotonic() < end,
                f"{self.contestant.name} did {done} of {len(self.jobs)} jobs",
            )
            time.sleep(0.02)

    def _kill(self, programs: Running) -> None:
        if self.computes:
            os.kill(_computing(programs.web), signal.SIGKILL)
        elif self.worker:
            assert programs.worker is not None
            programs.programs.kill(programs.worker)
            programs.worker = programs.start_worker()
        else:
            programs.programs.kill(programs.web)
            programs.web = programs.start_web()
            self.logs.append(programs.web.log)

    def _ask_until_settled(self, programs: Running, at: float) -> float:
        """Seconds from the kill until each is known or gone."""
        with _connection(programs) as connection:
            while True:
                self._ask_for_all(connection, at)
                waited = time.monotonic() - at
                left = len(self.jobs) - len(self.known) - len(self.gone)
                self.bench.say(
                    f"{self.contestant.name}: {self.killed} killed, {left} jobs open "
                    f"after {waited:.0f} of {self.patience:.0f} s"
                )
                if not left or waited > self.patience:
                    return waited
                pause = PAUSE if waited < SOON else LATER_PAUSE
                time.sleep(pause)

    def _ask_for_all(self, connection: http.client.HTTPConnection, at: float) -> None:
        for task_id, number in self.numbers.items():
            if task_id in self.known or task_id in self.gone:
                continue

            status, task = _ask(connection, "GET", f"/tasks/{task_id}")
            if status == 404 or task.get("status") in load.UNDONE:
                self.gone.add(task_id)
            elif task["result"] is not None:
                self.known[task_id] = time.monotonic() - at
                right = task["result"] == self.jobs[number].result
                self.bench.check(right, f"{self.contestant.name} answered {task}")

    def _runs(self, programs: Running, event: str) -> Counter[int]:
        """How often each job has begun, or was done."""
        if self.contestant.ours:
            status = {"begun": "processing", "done": "completed"}[event]
            text = "".join(map(_read, self.logs))
            ids = re.findall(f'"task_id": "([^"]+)".*"to": "{status}"', text)
            return Counter(self.numbers[each] for each in ids if each in self.numbers)

        noted = re.findall(rf"^{event} (\d+)$", _read(programs.notes), re.MULTILINE)
        return Counter(number for number in map(int, noted) if number < len(self.jobs))


def _computing(web: Program) -> int:
    """One of the engine's processes that compute."""
    for pid in web.pids():
        command = _read(Path(f"/proc/{pid}/cmdline"))
        if pid != web.pid and "spawn_main" in command:
            return pid
    raise RuntimeError("no process computes")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _connection(programs: Running) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", programs.port, timeout=30)
    with contextlib.closing(connection):
        yield connection


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b""
) -> tuple[int, dict[str, Any]]:
    """A request; its status and what the JSON of its answer says."""
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
    except (http.client.RemoteDisconnected, BrokenPipeError):
        # An idle connection was closed: it is opened again.
        connection.close()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def _table(bench: Bench, told: list[Story]) -> None:
    rows = []
    for story in told:
        row = (
            story.contestant,
            story.killed,
            story.before,
            story.not_done,
            story.unknown,
            story.begun_twice,
            story.last,
            story.waited,
        )
        rows.append(row)

    header = [
        "",
        "killed",
        "done by then",
        "never done",
        "result never known",
        "begun twice",
        "last result after, s",
        "waited, s",
    ]
    count = bench.pick(10, JOBS)
    bench.table(f"{count} jobs, after kill -9 in the midst of them", header, rows)
    bench.notes.append(
        "What was killed is started again at once. 'Never' is within the seconds that "
        "were waited: until each job was known or gone, or until patience ended."
    )
