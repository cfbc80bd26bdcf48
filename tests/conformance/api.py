"""Api: what a requirement does to a solution, and sees of it, in the
words of the exercise.

Rules: it calls the ASGI application itself, so that it sees each piece
of a stream and can hang up. Each request comes from an address of its
own unless told otherwise, so that the rate limit is in the way only
where it is the subject.
"""

import asyncio
import dataclasses
import itertools
import json
import re
from typing import Any
from urllib.parse import urlencode

from taskmanager.testing import receive_from, scope_of
from tests.conformance.clock import Loop
from tests.conformance.solution import Solution

# what a state is called in which a task has failed
FAILURE = re.compile("fail|err", re.IGNORECASE)
CANCELLATION = re.compile("cancel|abort", re.IGNORECASE)


class UnmetError(Exception):
    """A requirement is not met: what was expected, and what happened."""

    def __init__(self, expected: str, happened: str) -> None:
        super().__init__(f"expected {expected}; {happened}")
        self.expected, self.happened = expected, happened


class NotGradedError(Exception):
    """A requirement cannot be judged; the message says what is missing."""


def expect(condition: object, expected: str, happened: str) -> None:
    if not condition:
        raise UnmetError(expected, happened)


def hint(key: str) -> str:
    """For an expectation that other names in the solution would
    explain.
    """
    return f"(called otherwise? set `{key}` in a TOML file)"


def holds(result: Any, value: Any) -> bool:
    """Whether a result is this value or contains it."""
    if result == value:
        return True
    if isinstance(result, dict):
        return any(holds(part, value) for part in result.values())
    return isinstance(result, list) and any(holds(part, value) for part in result)


def texts_in(value: Any) -> list[str]:
    """The texts anywhere in a JSON value."""
    if isinstance(value, str):
        return [value]
    parts = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else []
    )
    return [text for part in parts for text in texts_in(part)]


@dataclasses.dataclass
class Answer:
    """One response, and how it came."""

    asked: str  # method and path, for messages
    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    pieces: int = 0  # messages with a part of the body
    seconds: float = 0.0  # of virtual time
    raised: str = ""  # what came out of the application instead

    def json(self) -> Any:
        """The body. NDJSON and server-sent events become a list. Raises
        UnmetError where it is not JSON.
        """
        text = self.body.decode("utf-8", "replace")
        try:
            return json.loads(text)
        except ValueError:
            pass
        if "event-stream" in self.headers.get("content-type", "") and "data:" in text:
            text = "\n".join(
                line[5:]
                for line in text.splitlines()
                if re.match(r"data: *[\[{]", line)
            )
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise UnmetError(
                f"JSON from {self.asked}", f"the body was {text!r:.120}"
            ) from None

    @property
    def accepted(self) -> bool:
        """Whether a submission was: that it is 202, and nothing else,
        is one requirement of its own.
        """
        return self.status in (200, 201, 202)

    def __str__(self) -> str:
        if self.raised:
            return f"{self.asked} raised {self.raised}"
        return f"{self.asked} was answered {self.status} {self.body.decode('utf-8', 'replace'):.160}".rstrip()


class Api:
    """A running solution."""

    def __init__(self, app: Any, solution: Solution, loop: Loop) -> None:
        self.app, self.solution, self.loop = app, solution, loop
        self._serving: set[asyncio.Task[None]] = set()
        self._count = itertools.count(1)
        self.failures = 0  # how often a task was seen that has failed
        self.lifespan: Any = None

    # Requests

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        address: str | None = None,
        port: int | None = None,
        headers: dict[str, str] | None = None,
        hang_up: float | None = None,
        **query: Any,
    ) -> Answer:
        """Send one request; ``hang_up`` is after how many seconds the
        client goes away.

        ``path`` begins with /tasks, wherever the solution has it.
        Unless told otherwise, each request comes from a port of its
        own, as most do.
        """
        number = next(self._count)
        text = (
            ""
            if body is None
            else json.dumps(body).replace("{unique}", f"unique-{number}")
        )
        content = raw if raw is not None else text.encode()
        sent = {"host": "localhost:8000", "accept": "*/*"}
        if content:
            sent |= {
                "content-type": "application/json",
                "content-length": str(len(content)),
            }
        sent |= headers or {}
        query_string = urlencode(query)
        if path.startswith("/tasks"):
            below = path.removeprefix("/tasks")
            path = (
                self.solution.path.rstrip("/") + below if below else self.solution.path
            )
        answer = Answer(f"{method} {path}" + (f"?{query_string}" if query else ""))
        raw_headers = [
            (name.lower().encode(), value.encode()) for name, value in sent.items()
        ]
        own = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        scope = scope_of(
            method,
            path,
            address or own,
            query_string,
            raw_headers,
            port or 1024 + number % 60_000,
        )
        gone, complete = asyncio.Event(), asyncio.Event()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    k.decode().lower(): v.decode("latin-1")
                    for k, v in message.get("headers", [])
                }
            elif message["type"] == "http.response.body" and message.get("body"):
                answer.pieces += 1
                answer.body += message["body"]
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # whatever the application does after that, as in
                # BackgroundTasks
                complete.set()
            # as a socket would: others may run between two pieces
            await asyncio.sleep(0)

        begun, self.loop.turns = self.loop.time(), 0
        timer = self.loop.call_later(hang_up, gone.set) if hang_up is not None else None
        serving = asyncio.create_task(
            self._serve(scope, receive_from(content, gone), send, answer)
        )
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        serving.add_done_callback(lambda _: complete.set())
        try:
            await complete.wait()
        except asyncio.CancelledError:
            serving.cancel()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        answer.seconds, self.loop.turns = self.loop.time() - begun, 0
        return answer

    async def _serve(self, scope: Any, receive: Any, send: Any, answer: Answer) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:  # a server would log it, and answer 500
            answer.raised = f"{type(error).__name__}: {error}"
            answer.status = answer.status or 500

    async def post(
        self, body: Any, *, address: str | None = None, priority: Any = None
    ) -> Answer:
        if priority is not None:
            body = {**body, self.solution.priority: priority}
        return await self.request("POST", "/tasks", body=body, address=address)

    async def submit(self, body: Any, *, priority: Any = None) -> str:
        """Hand in a task that has to be accepted; its id."""
        answer = await self.post(body, priority=priority)
        expect(
            answer.accepted,
            "202 for a valid task (which tasks are valid can be set in a TOML file)",
            str(answer),
        )
        return self.id_of(answer)

    def id_of(self, answer: Answer) -> str:
        task, name = (
            self.unwrapped(answer.json(), self.solution.task_id),
            self.solution.task_id,
        )
        there = isinstance(task, dict) and task.get(name) is not None
        expect(
            there,
            f"a {name!r} in the answer to POST /tasks {hint('task_id')}",
            str(answer),
        )
        return str(task[name])

    def unwrapped(self, body: Any, name: str) -> Any:
        """The object with this field: the body itself, or the only
        object in it, as in ``{"task": {...}}``.
        """
        if isinstance(body, dict) and name not in body:
            inner = [
                value
                for value in body.values()
                if isinstance(value, dict) and name in value
            ]
            return inner[0] if len(inner) == 1 else body
        return body

    async def get(self, task_id: str) -> Any:
        """The task, which has to exist."""
        answer = await self.request("GET", f"/tasks/{task_id}")
        return self.task_of(answer)

    def task_of(self, answer: Answer) -> Any:
        expect(answer.status == 200, "200 for a task that exists", str(answer))
        task = self.unwrapped(answer.json(), self.solution.status)
        expect(isinstance(task, dict), "the task as a JSON object", str(answer))
        self.failures += self.failed(task.get(self.solution.status))
        return task

    async def status(self, task_id: str) -> Any:
        task, name = await self.get(task_id), self.solution.status
        fields = f"there are {', '.join(map(str, task))}"
        expect(
            name in task,
            f"a field {name!r} in GET /tasks/{{task_id}} {hint('status')}",
            fields,
        )
        return task[name]

    async def status_if_any(self, task_id: str) -> Any:
        """None where there is no such task: a second DELETE may remove
        it.
        """
        answer = await self.request("GET", f"/tasks/{task_id}")
        return (
            None
            if answer.status == 404
            else self.task_of(answer).get(self.solution.status)
        )

    async def wait(self, task_id: str, *, hang_up: float | None = None) -> Answer:
        return await self.request(
            "GET", f"/tasks/{task_id}", wait="true", hang_up=hang_up
        )

    async def cancel(self, task_id: str) -> Answer:
        return await self.request("DELETE", f"/tasks/{task_id}")

    async def cancelled(self, task_id: str) -> None:
        """Cancel a task that is not over. Raises NotGradedError where
        that is refused.
        """
        answer = await self.cancel(task_id)
        if answer.status >= 300:
            raise NotGradedError(f"{answer}: see the lines on DELETE")

    async def held_poll(self, task_id: str, seconds: float) -> "asyncio.Task[Answer]":
        """A long poll, so long after it was asked. Raises
        NotGradedError where it was answered at once.
        """
        poll = asyncio.create_task(self.wait(task_id))
        await self.sleep(seconds)
        self.has_waited(poll)
        return poll

    def has_waited(self, poll: "asyncio.Task[Answer]") -> None:
        """It is still waiting, or was for a while: progress may be
        news, too. Raises NotGradedError.
        """
        if poll.done() and poll.result().seconds < 0.05:
            raise NotGradedError(
                "a long poll without news was answered at once: see the lines on long polls"
            )

    async def list_tasks(self, **query: Any) -> list[Any]:
        return self.tasks_in(await self.request("GET", "/tasks", **query))

    def tasks_in(self, answer: Answer) -> list[Any]:
        expect(answer.status == 200, f"200 for {answer.asked}", str(answer))
        tasks = answer.json()
        # a single line of NDJSON
        if isinstance(tasks, dict) and self.solution.task_id in tasks:
            tasks = [tasks]
        if isinstance(tasks, dict):
            key = self.solution.tasks_key
            lists = [
                value
                for name, value in tasks.items()
                if isinstance(value, list) and name == (key or name)
            ]
            if lists:
                tasks = lists[0]
            # by id
            elif not key and all(isinstance(value, dict) for value in tasks.values()):
                tasks = [
                    {self.solution.task_id: name, **value}
                    for name, value in tasks.items()
                ]
        expect(
            isinstance(tasks, list),
            f"a list of tasks from {answer.asked} {hint('tasks_key')}",
            str(answer),
        )
        return tasks

    async def openapi(self) -> Any:
        """The solution's OpenAPI document; empty where it has none."""
        document = await self.request("GET", "/openapi.json")
        return document.json() if document.status == 200 else {}

    # What happens over time

    def now(self) -> float:
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def pause(self, begun: float) -> None:
        """Between two looks at a task: 0.1 s, and 1 s once it is
        watched for longer than any work is to take.
        """
        await self.sleep(0.1 if self.now() - begun < 35 else 1)

    def failed(self, status: Any) -> bool:
        return status == self.solution.failed or FAILURE.match(str(status)) is not None

    def done(self, status: Any) -> bool:
        ended = status in (self.solution.completed, self.solution.cancelled)
        return (
            ended or self.failed(status) or CANCELLATION.match(str(status)) is not None
        )

    async def until(self, task_id: str, *statuses: Any, within: float = 120.0) -> float:
        """Poll every 0.1 s until the task has one of these statuses;
        after how many seconds that was.
        """
        begun = self.now()
        seen = await self.status(task_id)
        while seen not in statuses:
            wanted = " or ".join(map(repr, statuses))
            named = seen in (self.solution.queued, self.solution.processing)
            still = f"it is still {seen!r}" + (
                "" if named else f", whatever that means {hint('completed')}"
            )
            expect(
                self.now() - begun < within,
                f"a task to become {wanted} within {within:g} s",
                still,
            )
            expect(
                not self.done(seen),
                f"a task to become {wanted}",
                f"it ended as {seen!r}, seen every 0.1 s",
            )
            await self.pause(begun)
            seen = await self.status(task_id)
        return self.now() - begun

    async def fill(self, body: Any, most: int = 130) -> tuple[list[str], Answer]:
        """Submit until a task is refused: the ids of those accepted,
        and the refusal. Raises NotGradedError.
        """
        accepted: list[str] = []
        for _ in range(most):
            answer = await self.post(body)
            if not answer.accepted and accepted:
                return accepted, answer
            expect(answer.accepted, "202 for a valid task", str(answer))
            accepted.append(self.id_of(answer))
        raise NotGradedError(
            f"{most} tasks were accepted one after the other: see the line on 503"
        )

    async def many(self, count: int = 60) -> list[str]:
        """So many quick tasks, handed in and over; their ids."""
        ids = [await self.submit(self.solution.quick) for _ in range(count)]
        await self.until_over(*reversed(ids), within=31.0 * count)
        return ids

    async def until_over(self, *ids: str, within: float) -> None:
        """Look every second until all these tasks are over, however
        they ended.
        """
        begun = self.now()
        for task_id in ids:
            while not self.done(status := await self.status(task_id)):
                expect(
                    self.now() - begun < within,
                    f"a task to end within {within:g} s",
                    f"it is still {status!r}",
                )
                await self.sleep(1)

    async def everything(self) -> list[Any]:
        """The whole list, with as large a limit as is accepted. Raises
        NotGradedError where it is a page of it.
        """
        for limit in (10_000, 1000, 500, 200, 100, 50, 20, 10):
            answer = await self.request("GET", "/tasks", limit=limit)
            if answer.status == 200:
                tasks = self.tasks_in(answer)
                if len(tasks) == limit:
                    raise NotGradedError(
                        f"the list shows at most {limit} tasks at a time"
                    )
                return tasks
        return await self.list_tasks()

    def id_in(self, task: Any) -> str:
        """The id of a task in the list."""
        wanted = self.solution.task_id
        name = next(
            (
                each
                for each in (wanted, "id")
                if isinstance(task, dict) and each in task
            ),
            "",
        )
        expect(
            name,
            f"a field {wanted!r} of each task in the list {hint('task_id')}",
            f"one is {task!r:.100}",
        )
        return str(task[name])

    def unlike(self, task_id: str) -> str:
        """An id of the same kind that no task has."""
        return (
            str(int(task_id) + 10**6)
            if task_id.isdigit()
            else "00000000-0000-4000-8000-000000000000"
        )
