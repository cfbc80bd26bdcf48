"""The clients' requests, each sent to the application and its answer
held against the model.

Rule: all but lists and long polls are answered without a pause, so that
what is right before is right after.
"""

import json
from typing import Any, NamedTuple

from starlette.types import ASGIApp

from tests.simulation.job import Job, Poll
from tests.simulation.journal import InvariantError, Journal
from tests.simulation.model import Model
from tests.simulation.quota import Quota
from tests.simulation.wire import Answer, ask
from tests.simulation.work import Work

UNKNOWN = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


class Caller(NamedTuple):
    client: str  # whom the rate limit counts
    address: str | None


class Refused(NamedTuple):
    """A request over the limit: its client may come again at ``until``."""

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
    """Sends requests, and raises InvariantError where an answer is not
    what the model predicts.
    """

    def __init__(
        self, app: ASGIApp, model: Model, quota: Quota, journal: Journal
    ) -> None:
        self._app, self._model, self._quota, self._journal = app, model, quota, journal
        self.refused: list[Refused] = []

    async def submit(
        self, caller: Caller, work: Work, priority: str | None
    ) -> Job | None:
        """Submit a task; the accepted one, or None."""
        body = {"task_type": work.task_type, "parameters": work.submitted}
        body |= {} if priority is None else {"priority": priority}
        full = self._model.no_room()
        answer = await self._send(
            caller, "POST", "/tasks", body=json.dumps(body).encode()
        )
        if answer is None:
            return None
        if full or self._model.stopping:
            code = "shutting_down" if self._model.stopping else "queue_full"
            self._expect_problem(answer, 503, code)
            self._expect(
                int(answer.headers.get("retry-after", 0)) >= 1,
                "a 503 does not say when to come again",
            )
            return None
        self._expect(
            answer.status == 202,
            f"there is room, and a submission is answered {answer.status}",
        )
        seen = answer.json()
        job = self._model.accept(seen["task_id"], work, priority or "normal")
        self._model.check_task(job, seen)
        self._expect(
            answer.headers.get("location") == f"/tasks/{job.task_id}",
            "a 202 does not say where to poll",
        )
        retry_after, (least, most) = (
            int(answer.headers.get("retry-after", 0)),
            self._model.estimate(job),
        )
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
        """Long poll a task, until there is news or the client leaves."""
        job, model = poll.job, self._model
        model.tick()
        forgotten = model.forgotten(job)
        poll.begun, poll.seen = (
            model.now,
            len(job.changes) if poll.since is None else poll.since,
        )
        query = "wait=true" if poll.since is None else f"wait=true&since={poll.since}"
        model.polls.append(poll)
        answer = await self._send(
            caller, "GET", f"/tasks/{job.task_id}", job, query=query, poll=poll
        )
        model.polls.remove(poll)
        model.tick()
        if poll.gone.is_set() or answer is None:
            return
        if self._check_task_answer(answer, job, forgotten):
            ends = poll.ends(model.settings.wait_timeout)
            self._expect(
                model.now == ends,
                f"a long poll on {job} ended {model.now - ends:+g} s from when it should",
            )

    async def cancel(self, caller: Caller, job: Job) -> None:
        """Cancel a task."""
        forgotten, status, model = self._model.forgotten(job), job.status, self._model
        model.cancelling = job
        answer = await self._send(caller, "DELETE", f"/tasks/{job.task_id}", job)
        model.cancelling = None
        if answer is None:
            self._expect(
                job.status == status, f"{job} was cancelled by a refused request"
            )
        elif status in ("completed", "failed") and not (
            answer.status == 404 and forgotten is not False
        ):
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
        model, numbers = self._model, list[int]()
        model.tick()
        before, end = model.kept(status), len(model.jobs)

        def on_chunk(chunk: bytes) -> None:
            with model.noticing():
                lines = chunk.strip(b"[],\n").replace(b"\n", b",")
                for seen in json.loads(b"[" + lines + b"]"):
                    job = model.jobs.get(seen["task_id"])
                    if job is None or job.number >= end:
                        raise InvariantError(
                            "a list shows a task that was submitted later, or never"
                        )
                    self._expect(
                        status in (None, job.status),
                        f"a list of {status} tasks shows {job}, {job.status}",
                    )
                    self._expect(
                        model.forgotten(job) is not True,
                        f"a list shows {job}, which is to be forgotten",
                    )
                    model.check_task(job, seen)
                    numbers.append(job.number)

        query = "&".join(
            f"{name}={value}"
            for name, value in (("status", status), ("limit", limit))
            if value
        )
        accept = "application/x-ndjson" if as_lines else "*/*"
        answer = await self._send(
            caller, "GET", "/tasks", query=query, accept=accept, on_chunk=on_chunk
        )
        model.tick()
        if answer is None:
            return
        self._expect(answer.status == 200, f"a list is answered {answer.status}")
        count = len(answer.body.splitlines() if as_lines else answer.json())
        self._expect(
            count == len(numbers) <= (limit or count),
            f"a list has {count} tasks, with limit={limit}",
        )
        self._expect(
            numbers == sorted(set(numbers)), "a list is not in the order submitted"
        )
        if count != limit:
            self._expect(
                before & model.kept(status) <= set(numbers), "a list leaves out a task"
            )

    async def send_nonsense(self, caller: Caller, nonsense: Nonsense) -> None:
        """Send what cannot be served."""
        method, path, status, code, query, body = nonsense
        answer = await self._send(caller, method, path, query=query, body=body)
        if answer is not None:
            self._expect_problem(answer, status, code)

    async def check_health(self, clients: int) -> None:
        """Ask for the counts, of an engine at rest which remembers so
        many clients.
        """
        model, interval = self._model, self._model.settings.cleanup_interval
        model.tick()
        answer = await ask(self._app, "GET", "/health", None)
        self._expect("ratelimit" not in answer.headers, "the rate limit covers /health")
        model.check_health(
            answer.status,
            answer.json(),
            clients,
            len(self._quota.active(model.now, interval)),
        )

    async def _send(
        self,
        caller: Caller,
        method: str,
        path: str,
        job: Job | None = None,
        *,
        poll: Poll | None = None,
        **more: Any,
    ) -> Answer | None:
        """The answer; None where the limit refuses the request, as it
        has to.
        """
        self._model.tick()
        begun = self._model.now
        ruling = self._quota.ask(caller.client, begun)
        answer = await ask(
            self._app,
            method,
            path,
            caller.address,
            gone=poll.gone if poll else None,
            **more,
        )
        name = f"/tasks/({job.number})" if job else path
        query = "?" + more["query"] if more.get("query") else ""
        self._journal.note(
            f"{caller.address} {method} {name}{query} -> {answer.status}"
        )
        self._journal.counts["requests"] += 1
        self._journal.counts[f"answered {answer.status}"] += 1
        self._expect(
            answer.headers.get("cache-control") == "no-store",
            "an answer under /tasks may be stored",
        )
        told = (answer.headers.get("ratelimit-policy"), answer.headers.get("ratelimit"))
        if ruling is None:
            self._expect(
                told == (None, None) and answer.status != 429,
                "a request is limited, but RATE_LIMIT is off",
            )
            return answer
        settings = self._model.settings
        policy = f'"default";q={settings.rate_limit};w={settings.rate_window}'
        if ruling.granted == (answer.status == 429):
            left = ruling.left + ruling.granted
            raise InvariantError(
                f"{caller.client} had {left} requests left, and is answered {answer.status}"
            )
        limit = f'"default";r={ruling.left};t={ruling.reset}'
        self._expect(
            told == (policy, limit),
            f"the rate limit is told as {told[1]}, and is {limit}",
        )
        if ruling.granted:
            return answer
        self._expect_problem(answer, 429, "rate_limited")
        told_to_wait = answer.headers.get("retry-after")
        self._expect(
            told_to_wait == str(ruling.reset),
            f"Retry-After is {told_to_wait}, and should be {ruling.reset}",
        )
        self.refused.append(Refused(caller.client, begun + ruling.reset))
        return None

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
        problem = answer.headers.get("content-type") == "application/problem+json"
        seen = (
            (answer.status, answer.json().get("code"))
            if problem
            else (answer.status, "no problem document")
        )
        self._expect(
            seen == (status, code),
            f"the answer is {seen}, and should be {(status, code)}",
        )

    @staticmethod
    def _expect(right: bool, what: str) -> None:
        if not right:
            raise InvariantError(what)
