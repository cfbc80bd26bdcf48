"""The model: what the engine has to do. The tasks, their order and
their ends; the records; the loops that have died.

Rule: it learns what the engine did from the log and from answers, and
holds each against what may happen then. Time moves only when all that
could run has run, so what is true when it moves is true of an engine at
rest.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from taskmanager.settings import Settings
from tests.simulation.job import Job, Poll
from tests.simulation.journal import InvariantError, Journal
from tests.simulation.loops import Loops
from tests.simulation.work import Work

# seconds after its submission that a task's place is
HEAD_START = {"high": 0, "normal": 30, "low": 60}
LATE = 0.002  # seconds that a timeout may come late


class Model:
    """The engine as it has to be."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float], journal: Journal
    ) -> None:
        self.settings, self.clock, self.journal = settings, clock, journal
        self.now = clock()
        self.jobs: dict[str, Job] = {}  # all that were ever accepted, in that order
        self.queued: list[Job] = []
        self.processing: list[Job] = []
        # in the order of their finish, which is the order in which they
        # are forgotten,
        self.finished: list[Job] = []
        # so that this number, of those that have surely been forgotten,
        # tells which
        self.gone = 0
        self.polls: list[Poll] = []  # that are open
        self.cancelling: Job | None = None  # that a client cancels at this moment
        self.stopping = False
        self.loops = Loops(self.now)
        self.broken: InvariantError | None = None

    @contextlib.contextmanager
    def noticing(self) -> Iterator[None]:
        """Remember a broken invariant that was found where it cannot be
        raised: in the midst of the engine.
        """
        try:
            yield
        except InvariantError as broken:
            self.broken = self.broken or broken
            self.journal.stop()

    # What happens

    def tick(self) -> None:
        """Note what time it is; where it has moved on, check what was
        true until then.
        """
        now = self.clock()
        if now == self.now:
            return
        idle = self.settings.workers - len(self.processing)
        if self.queued and idle and not self.loops.dead_workers:
            raise InvariantError(
                f"{self.queued[0]} was queued, and the number of idle workers was {idle}"
            )
        for job in self.processing:
            if job.due + LATE < now:
                raise InvariantError(
                    f"{job} should have ended {now - job.due:g} s ago and is still processing"
                )
        self.now = now
        self.loops.tick(now)

    def accept(self, task_id: str, work: Work, priority: str) -> Job:
        """A task has been accepted."""
        number = len(self.jobs)
        place = (self.now + HEAD_START[priority], number)
        if task_id in self.jobs:
            raise InvariantError(
                f"the id of {self.jobs[task_id]} was given to another task"
            )
        job = self.jobs[task_id] = Job(
            number, task_id, work, priority, place, [(self.now, "queued")]
        )
        self.queued.append(job)
        if len(self.queued) > self.settings.queue_size:
            raise InvariantError(f"{len(self.queued)} tasks are queued")
        unfinished = len(self.queued) + len(self.processing)
        self.gone = max(
            self.gone, unfinished + len(self.finished) - self.settings.max_tasks
        )
        return job

    def no_room(self) -> bool:
        """Whether a submission is to be refused now."""
        self.tick()
        unfinished = len(self.queued) + len(self.processing)
        return (
            len(self.queued) >= self.settings.queue_size
            or unfinished >= self.settings.max_tasks
        )

    def estimate(self, job: Job) -> tuple[int, int]:
        """Between what times from now an accepted task can be expected
        to finish.
        """
        own = job.work.simulated
        others = sum(other.work.simulated for other in self.queued + self.processing)
        # of a task that is just leaving its worker
        return max(1, own), 1 + own + others + 30

    def change(self, job: Job, before: str, after: str) -> None:
        """The log says that a task has changed."""
        self.journal.note(f"    {job}: {before} -> {after}")
        if before != job.status:
            raise InvariantError(
                f"{job} was {job.status}, and the log has it go from {before} to {after}"
            )
        match before, after:
            case "queued", "processing":
                self._start(job)
            case ("queued", "cancelled") | ("processing", "cancelled"):
                if job is not self.cancelling and not self.stopping:
                    raise InvariantError(f"{job} was cancelled by nobody")
                (self.queued if before == "queued" else self.processing).remove(job)
            case "processing", "completed" | "failed":
                if not job.due <= self.now <= job.due + LATE:
                    raise InvariantError(
                        f"{job} ended {self.now - job.due:+g} s from when it should"
                    )
                if after != ("failed" if job.error else "completed"):
                    raise InvariantError(f"{job} has {after}")
                self.processing.remove(job)
            case _:
                raise InvariantError(f"{job} went from {before} to {after}")
        job.changes.append((self.now, after))
        if job.finished:
            job.finish = len(self.finished)
            self.finished.append(job)
            self.journal.counts[f"task {after}"] += 1

    def _start(self, job: Job) -> None:
        first = min(self.queued, key=lambda job: job.place)
        if job is not first:
            raise InvariantError(f"{job} was started, although {first} comes before it")
        self.queued.remove(job)
        self.processing.append(job)
        if len(self.processing) > self.settings.workers:
            raise InvariantError(
                f"{len(self.processing)} tasks are processing, for {self.settings.workers} workers"
            )
        in_time = job.work.seconds < self.settings.task_timeout
        job.due = self.now + (
            job.work.seconds if in_time else self.settings.task_timeout
        )
        job.error, job.message = (
            (job.work.error, job.work.message) if in_time else ("timeout", None)
        )

    def hear(self, text: str, fields: dict[str, Any]) -> None:
        """A line of the log, by the text of its message and the fields
        in it.
        """
        self.tick()
        if "loop" in fields:
            self.journal.note(f"    {fields['loop']} has died")
            self.journal.counts["deaths of loops"] += 1
            self.loops.die(fields["loop"], self.now)
            return
        if fields.get("task_id") not in self.jobs:
            raise InvariantError(f"the log says {text!r}")
        job = self.jobs[fields["task_id"]]
        if "dropped" in text:
            job.logged.append("dropped")
            if not job.finished or not (
                job.work.habit == "stubborn" or job.changes[-1][0] == self.now
            ):
                raise InvariantError(f"a change of {job} to {fields['to']} was dropped")
        elif "from" in fields:
            self.change(job, fields["from"], fields["to"])
        elif "crashed" in text:
            if job.work.error != "internal_error":
                raise InvariantError(f"{job} has crashed")
        elif "ignores" in text:
            job.logged.append("ignores")
            if job.work.habit != "stubborn":
                raise InvariantError(f"{job} is said to ignore its cancellation")
        else:
            raise InvariantError(f"the log says {text!r}")

    def check_log(self) -> None:
        """Hold what the log has said of handlers that ignore their
        cancellation against what they did.
        """
        for job in self.finished:
            if job.work.habit == "stubborn" and len(job.changes) == 3:
                # for so many seconds
                went_on = job.changes[1][0] + job.work.seconds - job.changes[2][0]
                expected = ["ignores", "dropped"] if went_on > 1 else ["dropped"]
                if went_on not in (0, 1) and job.logged != expected:
                    raise InvariantError(
                        f"{job} went on for {went_on:g} s, and the log says {job.logged}"
                    )

    # What is to be seen

    def forgotten(self, job: Job) -> bool | None:
        """Whether a task is answered 404 now; None where it may or may
        not.
        """
        self.tick()
        if job.finish is None:
            return False
        must, may = self.records_gone()
        return None if must <= job.finish < may else job.finish < must

    def records_gone(self) -> tuple[int, int]:
        """How many records must and may have been forgotten by now."""
        retention, interval = self.settings.retention, self.settings.cleanup_interval
        must = may = self.gone
        while (
            may < len(self.finished)
            and self.finished[may].changes[-1][0] + retention <= self.now
        ):
            may += 1
        if not self.loops.cleanup_is_late(self.now, interval):
            while (
                must < may
                and self.finished[must].changes[-1][0] + retention + interval < self.now
            ):
                must += 1
        self.gone = must
        return must, may

    def kept(self, status: str | None) -> set[int]:
        """The numbers of the tasks, with this status or any, that are
        surely there now.
        """
        _, may = self.records_gone()
        jobs = self.queued + self.processing + self.finished[may:]
        return {job.number for job in jobs if status in (None, job.status)}

    def check_task(self, job: Job, seen: dict[str, Any]) -> None:
        """Hold what a client sees of a task against what it is."""
        ahead = sum(other.place < job.place for other in self.queued)
        job.check(seen, self.now, ahead if job.status == "queued" else None)

    def check_health(
        self, status: int, seen: dict[str, Any], clients: int, active: int
    ) -> None:
        """Hold /health, and the number of clients remembered, against
        the engine at rest.
        """
        late = [
            poll
            for poll in self.polls
            if poll.gone.is_set() or poll.ends(self.settings.wait_timeout) < self.now
        ]
        if late:
            raise InvariantError(f"a long poll is still open: {late[0]}")
        dead = bool(self.loops.dead)
        must, may = self.records_gone()
        records = len(self.queued) + len(self.processing) + len(self.finished)
        expected = {
            "status": "degraded" if dead else "ok",
            "queued": len(self.queued),
            "processing": len(self.processing),
            "waiting": len(self.polls),
            "tasks": min(max(seen["tasks"], records - may), records - must),
            "restarts": self.loops.restarts,
            "workers": self.settings.workers,
            "queue_size": self.settings.queue_size,
        }
        if (status, seen) != (503 if dead else 200, expected):
            names = [name for name in expected if seen.get(name) != expected[name]]
            told = ", ".join(
                f"{name} is {seen.get(name)!r} and should be {expected[name]!r}"
                for name in names
            )
            raise InvariantError(f"/health ({status}) lies: {told}")
        if seen["tasks"] > self.settings.max_tasks:
            raise InvariantError(f"{seen['tasks']} records are kept")
        self.gone = records - seen["tasks"]
        late_cleanup = self.loops.cleanup_is_late(
            self.now, self.settings.cleanup_interval
        )
        if clients > self.settings.max_clients or (
            clients > active and not late_cleanup
        ):
            raise InvariantError(f"the limiter remembers {clients} clients")
