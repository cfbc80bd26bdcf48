"""The model: what the engine has to do.

It knows the tasks, their order and their ends; the records; the loops
that have died.

Rule: it learns what the engine did from the log and from answers, and
holds each against what may happen then. Time moves only when all that
could run has run, so what is true when it moves is true of an engine at
rest.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from taskmanager.settings import Settings
from tests.simulation.job import Change, Job, Poll
from tests.simulation.journal import InvariantError, Journal
from tests.simulation.loops import Loops
from tests.simulation.work import Work

# Seconds after its submission that a task's place is.
HEAD_START = {"high": 0, "normal": 30, "low": 60}
# Seconds that a timeout may come late.
LATE = 0.002


class Model:
    """The engine as it has to be."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float], journal: Journal
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.journal = journal
        self.now = clock()

        # All that were ever accepted, in that order.
        self.jobs: dict[str, Job] = {}
        self.queued: list[Job] = []
        self.processing: list[Job] = []
        # In the order of their finish, which is the order in which they
        # are forgotten,
        self.finished: list[Job] = []
        # so that this number, of those that have surely been forgotten,
        # tells which.
        self.gone = 0

        # The polls that are open.
        self.polls: list[Poll] = []
        # The task that a client cancels at this moment.
        self.cancelling: Job | None = None
        self.stopping = False
        self.loops = Loops(self.now)
        self.broken: InvariantError | None = None

    @contextlib.contextmanager
    def noticing(self) -> Iterator[None]:
        """Remember a broken invariant that cannot be raised here.

        That is so in the midst of the engine.
        """
        try:
            yield
        except InvariantError as broken:
            self.broken = self.broken or broken
            self.journal.stop()

    @property
    def unfinished(self) -> int:
        """How many tasks are queued or in process."""
        return len(self.queued) + len(self.processing)

    # What happens

    def tick(self) -> None:
        """Note what time it is.

        Where it has moved on, check what was true until then.
        """
        now = self.clock()
        if now == self.now:
            return

        idle = self.settings.workers - len(self.processing)
        if self.queued and idle and not self.loops.dead_workers:
            first = self.queued[0]
            raise InvariantError(
                f"{first} was queued, and the number of idle workers was {idle}"
            )
        for job in self.processing:
            if job.due + LATE < now:
                raise InvariantError(
                    f"{job} should have ended {now - job.due:g} s ago "
                    "and is still processing"
                )

        self.now = now
        self.loops.tick(now)

    def accept(self, task_id: str, work: Work, priority: str) -> Job:
        """A task has been accepted."""
        if task_id in self.jobs:
            raise InvariantError(
                f"the id of {self.jobs[task_id]} was given to another task"
            )

        number = len(self.jobs)
        place = (self.now + HEAD_START[priority], number)
        changes = [Change(self.now, "queued")]
        job = Job(number, task_id, work, priority, place, changes)
        self.jobs[task_id] = job
        self.queued.append(job)
        if len(self.queued) > self.settings.queue_size:
            raise InvariantError(f"{len(self.queued)} tasks are queued")

        records = self.unfinished + len(self.finished)
        self.gone = max(self.gone, records - self.settings.max_tasks)
        return job

    def no_room(self) -> bool:
        """Whether a submission is to be refused now."""
        self.tick()
        return (
            len(self.queued) >= self.settings.queue_size
            or self.unfinished >= self.settings.max_tasks
        )

    def estimate(self, job: Job) -> tuple[int, int]:
        """The least and the most seconds in which a task may end.

        That is what can be expected of an accepted one.
        """
        own = job.work.simulated
        others = sum(other.work.simulated for other in self.queued + self.processing)
        # A task that is just leaving its worker may count for 30 s.
        return max(1, own), 1 + own + others + 30

    def change(self, job: Job, before: str, after: str) -> None:
        """The log says that a task has changed."""
        self.journal.note(f"    {job}: {before} -> {after}")
        if before != job.status:
            raise InvariantError(
                f"{job} was {job.status}, and the log has it go "
                f"from {before} to {after}"
            )

        match before, after:
            case "queued", "processing":
                self._start(job)
            case ("queued", "cancelled") | ("processing", "cancelled"):
                if job is not self.cancelling and not self.stopping:
                    raise InvariantError(f"{job} was cancelled by nobody")
                others = self.queued if before == "queued" else self.processing
                others.remove(job)
            case "processing", "completed" | "failed":
                self._end(job, after)
            case _:
                raise InvariantError(f"{job} went from {before} to {after}")

        job.changes.append(Change(self.now, after))
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
        workers = self.settings.workers
        if len(self.processing) > workers:
            raise InvariantError(
                f"{len(self.processing)} tasks are processing, for {workers} workers"
            )

        if job.work.seconds < self.settings.task_timeout:
            job.due = self.now + job.work.seconds
            job.error = job.work.error
            job.message = job.work.message
        else:
            job.due = self.now + self.settings.task_timeout
            job.error = "timeout"
            job.message = None

    def _end(self, job: Job, status: str) -> None:
        if not job.due <= self.now <= job.due + LATE:
            raise InvariantError(
                f"{job} ended {self.now - job.due:+g} s from when it should"
            )

        expected = "failed" if job.error else "completed"
        if status != expected:
            raise InvariantError(f"{job} has {status}")
        self.processing.remove(job)

    def hear(self, text: str, fields: dict[str, Any]) -> None:
        """Hear a line of the log: its message and its fields."""
        if "submitted" in text:
            # Before the answer that makes the task known.
            return
        self.tick()
        if "loop" in fields:
            # Which of the workers it is depends on turns of the event
            # loop, not on the seed alone.
            name = fields["loop"].rstrip("-0123456789")
            self.journal.note(f"    {name} has died")
            self.journal.counts["deaths of loops"] += 1
            self.loops.die(fields["loop"], self.now)
            return

        job = self.jobs.get(fields.get("task_id", ""))
        if job is None:
            raise InvariantError(f"the log says {text!r}")

        if "dropped" in text:
            job.logged.append("dropped")
            may_come_late = job.work.habit == "stubborn"
            if not job.finished or not (
                may_come_late or job.last_change.at == self.now
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
        """Hold the log against what handlers with bad habits did.

        They are those that ignore their cancellation.
        """
        for job in self.finished:
            if job.work.habit != "stubborn" or job.started_at is None:
                continue

            # It went on for so many seconds after it was cancelled.
            went_on = job.started_at + job.work.seconds - job.last_change.at
            expected = ["ignores", "dropped"] if went_on > 1 else ["dropped"]
            if went_on not in (0, 1) and job.logged != expected:
                raise InvariantError(
                    f"{job} went on for {went_on:g} s, and the log says {job.logged}"
                )

    # What is to be seen

    def forgotten(self, job: Job) -> bool | None:
        """Whether a task is answered 404 now; None: it may be."""
        self.tick()
        if job.finish is None:
            return False

        must, may = self.records_gone()
        if must <= job.finish < may:
            return None
        return job.finish < must

    def records_gone(self) -> tuple[int, int]:
        """How many records must and may have been forgotten by now."""
        retention = self.settings.retention
        interval = self.settings.cleanup_interval
        late = self.loops.cleanup_is_late(self.now, interval)

        must = self.gone
        may = self.gone
        for job in self.finished[self.gone :]:
            expires = job.last_change.at + retention
            if expires > self.now:
                break
            may += 1
            if not late and expires + interval < self.now:
                must += 1

        self.gone = must
        return must, may

    def kept(self, status: str | None) -> set[int]:
        """The numbers of the tasks that are surely there now.

        They have this status, or any where it is None.
        """
        _, may = self.records_gone()
        jobs = self.queued + self.processing + self.finished[may:]
        return {job.number for job in jobs if status in (None, job.status)}

    def check_task(self, job: Job, seen: dict[str, Any]) -> None:
        """Hold what a client sees of a task against what it is."""
        ahead = None
        if job.status == "queued":
            ahead = sum(other.place < job.place for other in self.queued)
        job.check(seen, self.now, ahead)

    def check_health(
        self, status: int, seen: dict[str, Any], clients: int, active: int
    ) -> None:
        """Hold /health against the engine at rest.

        ``clients`` are remembered by the limiter, of whom ``active``
        have a request in their window.
        """
        self._check_polls()

        right_status = 503 if self.loops.dead else 200
        health = "degraded" if self.loops.dead else "ok"
        must, may = self.records_gone()
        records = self.unfinished + len(self.finished)
        expected = {
            "status": health,
            "queued": len(self.queued),
            "processing": len(self.processing),
            "waiting": len(self.polls),
            "tasks": min(max(seen["tasks"], records - may), records - must),
            "restarts": self.loops.restarts,
            "streams": 0,
            "workers": self.settings.workers,
            "queue_size": self.settings.queue_size,
        }
        if status != right_status or seen != expected:
            told = ", ".join(
                f"{name} is {seen.get(name)!r} and should be {right!r}"
                for name, right in expected.items()
                if seen.get(name) != right
            )
            raise InvariantError(f"/health ({status}) lies: {told}")

        if seen["tasks"] > self.settings.max_tasks:
            raise InvariantError(f"{seen['tasks']} records are kept")
        self.gone = records - seen["tasks"]

        if clients > min(active, self.settings.max_clients):
            raise InvariantError(f"the limiter remembers {clients} clients")

    def _check_polls(self) -> None:
        """Raise where a long poll is open that should have ended."""
        wait_timeout = self.settings.wait_timeout
        for poll in self.polls:
            if poll.gone.is_set() or poll.ends(wait_timeout) < self.now:
                raise InvariantError(f"a long poll is still open: {poll}")
