"""The clients' requests: each is sent to the application.

Its answer is held against the model.

Rule: all but lists and long polls are answered without a pause, so that
what is right before is right after.
"""

import json
from typing import Any, NamedTuple

from starlette.types import ASGIApp

from tests.simulation.job import Job, Poll
from tests.simulation.journal import InvariantError, Journal
from tests.simulation.model import Model
from tests.simulation.quota import Quota, Ruling
from tests.simulation.wire import Answer, ask
from tests.simulation.work import Work

UNKNOWN = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


class Caller(NamedTuple):
    # Whom the rate limit counts.
    client: str
    address: str | None


class Refused(NamedTuple):
    """A request over the limit; its client may come at ``until``."""

    client: str
    until: float


class Nonsense(NamedTuple):
    """A request that cannot be served, and what has to be answered."""

    method: str
    path: str
    status: int
    code: str
    query: str = ""
    body: bytes = b""


def _submission(**members: Any) -> bytes:
    valid = {"task_type": "compute_sum", "parameters": {"numbers": [1]}}
    return json.dumps(valid | members).encode()


NONSENSE = (
    Nonsense("GET", "/tasks/", 404, "not_found"),
    Nonsense("GET", "/tasks/not-a-uuid", 400, "invalid_request"),
    Nonsense("GET", f"/tasks/{UNKNOWN}", 400, "invalid_request", "wait=true&since=-1"),
    Nonsense("GET", f"/tasks/{UNKNOWN}", 404, "task_not_found", "wait=true"),
    Nonsense("DELETE", f"/tasks/{UNKNOWN}", 404, "task_not_found"),
    Nonsense("GET", "/tasks", 400, "invalid_request", "limit=0"),
    Nonsense("GET", "/tasks", 400, "invalid_request", "status=asleep"),
    Nonsense("PUT", "/tasks", 405, "method_not_allowed"),
    Nonsense("DELETE", "/tasks", 405, "method_not_allowed"),
    Nonsense("POST", "/tasks", 413, "body_too_large", body=b" " * 300_000),
    *(
        Nonsense("POST", "/tasks", 400, "invalid_request", body=body)
        for body in (
            b"",
            b"{",
            b"[]",
            _submission(task_type="make_tea"),
            _submission(priority="urgent"),
            _submission(colour="red"),
            _submission(parameters={}),
            _submission(parameters={"numbers": []}),
            _submission(parameters={"numbers": [True]}),
            _submission(parameters={"numbers": [float("nan")]}),
        )
    ),
)


class Requests:
    """Sends requests, and holds the answers against the model.

    Raises InvariantError where one is not what the model predicts.
    """

    def __init__(
        self, app: ASGIApp, model: Model, quota: Quota, journal: Journal
    ) -> None:
        self._app = app
        self._model = model
        self._quota = quota
        self._journal = journal
        self.refused: list[Refused] = []

    async def submit(
        self, caller: Caller, work: Work, priority: str | None
    ) -> Job | None:
        """Submit a task; the accepted one, or None."""
        submission = {"task_type": work.task_type, "parameters": work.submitted}
        if priority is not None:
            submission["priority"] = priority
        body = json.dumps(submission).encode()

        full = self._model.no_room()
        answer = await self._send(caller, "POST", "/tasks", body=body)
        if answer is None:
            return None
        if full or self._model.stopping:
            code = "shutting_down" if self._model.stopping else "queue_full"
            self._check_no_room(answer, code)
            return None
        return self._check_accepted(answer, work, priority or "normal")

    def _check_no_room(self, answer: Answer, code: str) -> None:
        self._expect_problem(answer, 503, code)
        retry_after = int(answer.headers.get("retry-after", 0))
        self._expect(retry_after >= 1, "a 503 does not say when to come again")

    def _check_accepted(self, answer: Answer, work: Work, priority: str) -> Job:
        self._expect(
            answer.status == 202,
            f"there is room, and a submission is answered {answer.status}",
        )
        seen = answer.json()
        job = self._model.accept(seen["task_id"], work, priority)
        self._model.check_task(job, seen)
        self._expect(
            answer.headers.get("location") == f"/tasks/{job.task_id}",
            "a 202 does not say where to poll",
        )

        retry_after = int(answer.headers.get("retry-after", 0))
        least, most = self._model.estimate(job)
        self._expect(
            least <= retry_after <= most,
            f"{job} is to be polled in {retry_after} s, not {least} to {most} s",
        )
        return job

    async def look(self, caller: Caller, job: Job) -> None:
        """Read a task."""
        forgotten = self._model.forgotten(job)
        answer = await self._send(caller, "GET", f"/tasks/{job.task_id}", job)
        if answer is not None:
            self._check_task_answer(answer, job, forgotten)

    async def wait(self, caller: Caller, poll: Poll) -> None:
        """Poll a task until there is news or the client leaves."""
        job = poll.job
        model = self._model
        model.tick()
        forgotten = model.forgotten(job)
        poll.begun = model.now
        if poll.since is None:
            poll.seen = len(job.changes)
            query = "wait=true"
        else:
            poll.seen = poll.since
            query = f"wait=true&since={poll.since}"

        model.polls.append(poll)
        path = f"/tasks/{job.task_id}"
        answer = await self._send(caller, "GET", path, job, query=query, poll=poll)
        model.polls.remove(poll)

        model.tick()
        if poll.gone.is_set() or answer is None:
            return
        if self._check_task_answer(answer, job, forgotten):
            late = model.now - poll.ends(model.settings.wait_timeout)
            self._expect(
                late == 0,
                f"a long poll on {job} ended {late:+g} s from when it should",
            )

    async def cancel(self, caller: Caller, job: Job) -> None:
        """Cancel a task."""
        model = self._model
        forgotten = model.forgotten(job)
        before = job.status

        model.cancelling = job
        answer = await self._send(caller, "DELETE", f"/tasks/{job.task_id}", job)
        model.cancelling = None

        if answer is None:
            self._expect(
                job.status == before, f"{job} was cancelled by a refused request"
            )
            return

        gone = answer.status == 404 and forgotten is not False
        if before in ("completed", "failed") and not gone:
            self._expect(forgotten is not True, f"{job} should have been forgotten")
            self._expect_problem(answer, 409, "task_finished")
        elif self._check_task_answer(answer, job, forgotten):
            self._expect(
                job.status == "cancelled",
                f"{job} was to be cancelled and is {job.status}",
            )

    async def list_tasks(
        self, caller: Caller, status: str | None, limit: int | None, as_lines: bool
    ) -> None:
        """Read many tasks, each as it is when it comes."""
        model = self._model
        model.tick()
        kept_before = model.kept(status)
        end = len(model.jobs)
        numbers: list[int] = []

        def on_chunk(chunk: bytes) -> None:
            with model.noticing():
                lines = chunk.strip(b"[],\n").replace(b"\n", b",")
                for seen in json.loads(b"[" + lines + b"]"):
                    job = self._check_listed(seen, status, end)
                    numbers.append(job.number)

        asked = {"status": status, "limit": limit}
        query = "&".join(f"{name}={value}" for name, value in asked.items() if value)
        accept = "application/x-ndjson" if as_lines else "*/*"
        answer = await self._send(
            caller, "GET", "/tasks", query=query, accept=accept, on_chunk=on_chunk
        )
        model.tick()
        if answer is None:
            return

        self._expect(answer.status == 200, f"a list is answered {answer.status}")
        listed = answer.body.splitlines() if as_lines else answer.json()
        count = len(listed)
        self._expect(
            count == len(numbers) <= (limit or count),
            f"a list has {count} tasks, with limit={limit}",
        )
        self._expect(
            numbers == sorted(set(numbers)), "a list is not in the order submitted"
        )
        if count != limit:
            kept = kept_before & model.kept(status)
            self._expect(kept <= set(numbers), "a list leaves out a task")

    def _check_listed(self, seen: dict[str, Any], status: str | None, end: int) -> Job:
        """The task that a list shows, one of the first ``end``."""
        job = self._model.jobs.get(seen["task_id"])
        if job is None or job.number >= end:
            raise InvariantError(
                "a list shows a task that was submitted later, or never"
            )

        self._expect(
            status in (None, job.status),
            f"a list of {status} tasks shows {job}, {job.status}",
        )
        self._expect(
            self._model.forgotten(job) is not True,
            f"a list shows {job}, which is to be forgotten",
        )
        self._model.check_task(job, seen)
        return job

    async def send_nonsense(self, caller: Caller, nonsense: Nonsense) -> None:
        """Send what cannot be served."""
        answer = await self._send(
            caller,
            nonsense.method,
            nonsense.path,
            query=nonsense.query,
            body=nonsense.body,
        )
        if answer is not None:
            self._expect_problem(answer, nonsense.status, nonsense.code)

    async def check_health(self, clients: int) -> None:
        """Ask for the counts of an engine at rest.

        It remembers so many clients.
        """
        model = self._model
        model.tick()
        answer = await ask(self._app, "GET", "/health", None)
        self._expect("ratelimit" not in answer.headers, "the rate limit covers /health")

        active = self._quota.active(model.now, model.settings.cleanup_interval)
        model.check_health(answer.status, answer.json(), clients, len(active))

    async def _send(
        self,
        caller: Caller,
        method: str,
        path: str,
        job: Job | None = None,
        *,
        poll: Poll | None = None,
        query: str = "",
        **more: Any,
    ) -> Answer | None:
        """The answer; None where the limit refuses, as it has to."""
        self._model.tick()
        begun = self._model.now
        ruling = self._quota.ask(caller.client, begun)
        gone = None if poll is None else poll.gone
        answer = await ask(
            self._app, method, path, caller.address, query=query, gone=gone, **more
        )

        shown_path = path if job is None else f"/tasks/({job.number})"
        shown_query = f"?{query}" if query else ""
        self._journal.note(
            f"{caller.address} {method} {shown_path}{shown_query} -> {answer.status}"
        )
        self._journal.counts["requests"] += 1
        self._journal.counts[f"answered {answer.status}"] += 1
        self._expect(
            answer.headers.get("cache-control") == "no-store",
            "an answer under /tasks may be stored",
        )

        self._check_limit(answer, caller, ruling)
        if ruling is None or ruling.granted:
            return answer

        self._check_refusal(answer, ruling)
        self.refused.append(Refused(caller.client, begun + ruling.reset))
        return None

    def _check_limit(
        self, answer: Answer, caller: Caller, ruling: Ruling | None
    ) -> None:
        """Hold what the headers tell of the limit to the ruling."""
        told_policy = answer.headers.get("ratelimit-policy")
        told_limit = answer.headers.get("ratelimit")
        refused = answer.status == 429
        if ruling is None:
            limited = refused or told_policy is not None or told_limit is not None
            self._expect(not limited, "a request is limited, but RATE_LIMIT is off")
            return

        if ruling.granted == refused:
            left = ruling.left + ruling.granted
            raise InvariantError(
                f"{caller.client} had {left} requests left, "
                f"and is answered {answer.status}"
            )

        settings = self._model.settings
        policy = f'"default";q={settings.rate_limit};w={settings.rate_window}'
        limit = f'"default";r={ruling.left};t={ruling.reset}'
        self._expect(
            told_policy == policy and told_limit == limit,
            f"the rate limit is told as {told_limit}, and is {limit}",
        )

    def _check_refusal(self, answer: Answer, ruling: Ruling) -> None:
        self._expect_problem(answer, 429, "rate_limited")
        told = answer.headers.get("retry-after")
        self._expect(
            told == str(ruling.reset),
            f"Retry-After is {told}, and should be {ruling.reset}",
        )

    def _check_task_answer(
        self, answer: Answer, job: Job, forgotten: bool | None
    ) -> bool:
        """Whether a task was answered, as far as it is known."""
        if answer.status == 404 and forgotten is not False:
            self._expect_problem(answer, 404, "task_not_found")
            self._model.gone = max(self._model.gone, (job.finish or 0) + 1)
            return False

        self._expect(
            answer.status == 200 and forgotten is not True,
            f"{job}, {job.status}, is answered {answer.status}",
        )
        self._model.check_task(job, answer.json())
        return True

    def _expect_problem(self, answer: Answer, status: int, code: str) -> None:
        told = "no problem document"
        if answer.headers.get("content-type") == "application/problem+json":
            told = answer.json().get("code")
        self._expect(
            answer.status == status and told == code,
            f"the answer is {(answer.status, told)}, and should be {(status, code)}",
        )

    @staticmethod
    def _expect(right: bool, what: str) -> None:
        if not right:
            raise InvariantError(what)
