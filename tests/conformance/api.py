"""Api: what a requirement does to a solution, and sees of it.

It speaks in the words of the exercise.

Rules: it calls the ASGI application itself, so that it sees each piece
of a stream and can hang up. Each request comes from an address of its
own unless told otherwise, so that the rate limit is in the way only
where it is the subject.
"""

import ast
import asyncio
import contextlib
import dataclasses
import itertools
import json
import re
from typing import Any
from urllib.parse import urlencode

from tests.conformance.clock import Loop
from tests.conformance.solution import Solution
from tests.conformance.virtual_time import receive_from, scope_of

# What a state is called in which a task has failed, or was cancelled.
FAILURE = re.compile("fail|err", re.IGNORECASE)
CANCELLATION = re.compile("cancel|abort", re.IGNORECASE)
# What may come in lines.
LINES = re.compile("ndjson|jsonl|json-seq|event-stream")
# A submission that takes so many seconds waits for something.
PATIENCE = 1.0
# A loop that stood still for so many seconds in all was blocked.
BLOCKS = 0.3
# After so many seconds, all that could run has run.
SOON = 0.001


class UnmetError(Exception):
    """Says what a requirement expected, and what happened instead.

    ``needs`` are the names of lines that explain it, where they are not
    met either.
    """

    def __init__(
        self, expected: str, happened: str, *, needs: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"expected {expected}; {happened}")
        self.expected = expected
        self.happened = happened
        self.needs = needs


class LeftOpenError(UnmetError):
    """It is met, though not in the way that is advised: a remark."""


class NotGradedError(Exception):
    """A requirement cannot be judged; the message says why.

    ``cause`` is the name of the line that explains it, if one does.
    """

    def __init__(self, why: str, *, cause: str = "") -> None:
        super().__init__(why)
        self.cause = cause


def expect(
    condition: object, expected: str, happened: str, *, needs: tuple[str, ...] = ()
) -> None:
    if not condition:
        raise UnmetError(expected, happened, needs=needs)


def hint(key: str) -> str:
    """Ends an expectation that other names would explain."""
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
    match value:
        case str():
            return [value]
        case dict():
            parts = list(value.values())
        case list():
            parts = value
        case _:
            parts = []
    return [text for part in parts for text in texts_in(part)]


@dataclasses.dataclass
class Answer:
    """One response, and how it came."""

    # Method and path, for messages.
    asked: str
    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    # Messages with a part of the body.
    pieces: int = 0
    # Of virtual time.
    seconds: float = 0.0
    # What came out of the application instead.
    raised: str = ""
    # Whether the client gave up waiting for it.
    waits: bool = False

    def note(self, message: Any) -> None:
        """Take in what the application sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {
                name.decode().lower(): value.decode("latin-1")
                for name, value in message.get("headers", [])
            }
        elif message["type"] == "http.response.body" and message.get("body"):
            self.pieces += 1
            self.body += message["body"]

    def json(self) -> Any:
        """The body; a list, of NDJSON and of server-sent events.

        Raises UnmetError where it is not JSON.
        """
        text = self.text
        try:
            return json.loads(text)
        except ValueError:
            pass

        if "event-stream" in self.headers.get("content-type", "") and "data:" in text:
            text = "\n".join(
                line.removeprefix("data:")
                for line in text.splitlines()
                if re.match(r"data: *[\[{]", line)
            )
        lines = [line for line in text.splitlines() if line.strip()]
        if lines or LINES.search(self.headers.get("content-type", "")):
            with contextlib.suppress(ValueError):
                return [json.loads(line) for line in lines]
        raise UnmetError(
            f"JSON from {self.asked}",
            f"the body was {text!r:.120}",
            needs=("answers_are_json",),
        )

    def value(self) -> Any:
        """The body, also where it is not quite JSON.

        It may be Python's way of writing values, or a list with a comma
        too many or too few: that it is JSON is one requirement of its
        own. Raises UnmetError where it is none of these.
        """
        try:
            return self.json()
        except UnmetError:
            with contextlib.suppress(ValueError, SyntaxError):
                return ast.literal_eval(self.text)
            with contextlib.suppress(ValueError):
                return _items_of(self.text)
            raise

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def at_once(self) -> bool:
        """Whether it came without waiting for anything."""
        return self.seconds < 0.05

    @property
    def accepted(self) -> bool:
        """Whether a submission was.

        That it is 202, and nothing else, is one requirement of its own.
        """
        return self.status in (200, 201, 202)

    def __str__(self) -> str:
        if self.waits:
            return f"{self.asked} waited for more than {PATIENCE:g} s"
        if self.raised:
            return f"{self.asked} raised {self.raised}"
        return f"{self.asked} was answered {self.status} {self.text:.160}".rstrip()


class Api:
    """A running solution."""

    def __init__(self, app: Any, solution: Solution, loop: Loop) -> None:
        self.app = app
        self.solution = solution
        self.loop = loop
        self.lifespan: Any = None
        # How often a task was seen that has failed.
        self.failures = 0
        # The ids of tasks that a DELETE has cancelled.
        self.deleted: set[str] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._count = itertools.count(1)

    @property
    def longer(self) -> str:
        """What to do where the slow task is too short."""
        advice = "set a longer one as `slow` in a TOML file"
        if self.solution.no_slow:
            advice += f" (in its place is the quick one: {self.solution.no_slow})"
        return advice

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
        reads_on: asyncio.Event | None = None,
        content_type: str | None = "application/json",
        **query: Any,
    ) -> Answer:
        """Send one request.

        ``path`` begins with /tasks, wherever the solution has it.
        Unless told otherwise, each request comes from a port of its
        own, as most do. ``hang_up`` is after how many seconds the
        client goes away. A client that is slow reads no more than the
        first piece until ``reads_on`` is set.
        """
        number = next(self._count)
        content = raw
        if content is None:
            content = _written(body, number)

        sent = {"host": "localhost:8000", "accept": "*/*"}
        if content:
            sent["content-length"] = str(len(content))
        if content and content_type is not None:
            sent["content-type"] = content_type
        sent |= headers or {}

        path = self._actual(path)
        query_string = urlencode(query)
        asked = f"{method} {path}"
        if query:
            asked += f"?{query_string}"

        scope = scope_of(
            method,
            path,
            client=address or _address(number),
            query=query_string,
            headers=[
                (name.lower().encode(), value.encode()) for name, value in sent.items()
            ],
            port=port or 1024 + number % 60_000,
        )
        scope["state"] = dict(self.lifespan.state)
        answer = Answer(asked)
        await self._exchange(scope, content, answer, hang_up, reads_on)
        return answer

    def _actual(self, path: str) -> str:
        """Where the solution has what the exercise has at /tasks."""
        if not path.startswith("/tasks"):
            return path
        below = path.removeprefix("/tasks")
        if not below:
            return self.solution.path
        return self.solution.path.rstrip("/") + below

    async def _exchange(
        self,
        scope: Any,
        content: bytes,
        answer: Answer,
        hang_up: float | None,
        reads_on: asyncio.Event | None,
    ) -> None:
        """Let the application answer, until the answer is complete."""
        gone = asyncio.Event()
        complete = asyncio.Event()

        async def send(message: Any) -> None:
            answer.note(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Whatever the application does after that, as in
                # BackgroundTasks.
                complete.set()
            # As a socket would: others may run between two pieces.
            await asyncio.sleep(0)
            if reads_on is not None and answer.pieces:
                await reads_on.wait()

        begun = self.loop.time()
        self.loop.turns = 0
        timer = None
        if hang_up is not None:
            timer = self.loop.call_later(hang_up, gone.set)

        receive = receive_from(content, gone)
        serving = asyncio.create_task(self._serve(scope, receive, send, answer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        serving.add_done_callback(lambda _: complete.set())

        try:
            await complete.wait()
            if answer.status == 500:
                # The error that led to it comes out after the answer.
                await asyncio.wait({serving}, timeout=SOON)
        except asyncio.CancelledError:
            serving.cancel()
            raise
        finally:
            if timer is not None:
                timer.cancel()

        answer.seconds = self.loop.time() - begun
        self.loop.turns = 0

    async def _serve(self, scope: Any, receive: Any, send: Any, answer: Answer) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            # A server would log it, and answer 500.
            answer.raised = self.solution.summary_of(error)
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
            needs=("submit_answers_202",),
        )
        return self.id_of(answer)

    def id_of(self, answer: Answer) -> str:
        name = self.solution.task_id
        task = self.unwrapped(answer.json(), name)
        expect(
            isinstance(task, dict) and task.get(name) is not None,
            f"a {name!r} in the answer to POST /tasks {hint('task_id')}",
            str(answer),
            needs=("submit_answers_202",),
        )
        return str(task[name])

    def unwrapped(self, body: Any, name: str) -> Any:
        """The object with this field.

        It is the body itself, or the only object in it, as in
        ``{"task": {...}}``.
        """
        if not isinstance(body, dict) or name in body:
            return body

        inner = [
            value
            for value in body.values()
            if isinstance(value, dict) and name in value
        ]
        return inner[0] if len(inner) == 1 else body

    async def get(self, task_id: str) -> Any:
        """The task, which has to exist."""
        answer = await self.request("GET", f"/tasks/{task_id}")
        expect(
            answer.status != 404 or task_id not in self.deleted,
            f"{self.solution.cancelled!r} in GET after a DELETE",
            str(answer),
            needs=("cancel_queued",),
        )
        return self.task_of(answer)

    def task_of(self, answer: Answer) -> Any:
        expect(answer.status == 200, "200 for a task that exists", str(answer))
        task = self.unwrapped(answer.json(), self.solution.status)
        expect(isinstance(task, dict), "the task as a JSON object", str(answer))

        self.failures += self.failed(task.get(self.solution.status))
        return task

    def status_in(self, answer: Answer) -> Any:
        """The status of the task; None where it shows none."""
        return self.task_of(answer).get(self.solution.status)

    async def status(self, task_id: str) -> Any:
        name = self.solution.status
        task = await self.get(task_id)
        expect(
            name in task,
            f"a field {name!r} in GET /tasks/{{task_id}} {hint('status')}",
            f"there are {', '.join(map(str, task))}",
        )
        return task[name]

    async def status_if_any(self, task_id: str) -> Any:
        """None where there is no such task.

        A second DELETE may remove it.
        """
        answer = await self.request("GET", f"/tasks/{task_id}")
        return None if answer.status == 404 else self.status_in(answer)

    async def wait(self, task_id: str, *, hang_up: float | None = None) -> Answer:
        return await self.request(
            "GET", f"/tasks/{task_id}", wait="true", hang_up=hang_up
        )

    async def cancel(self, task_id: str) -> Answer:
        answer = await self.request("DELETE", f"/tasks/{task_id}")
        if 200 <= answer.status < 300:
            self.deleted.add(task_id)
        return answer

    async def cancelled(self, task_id: str) -> None:
        """Cancel a task that is not over.

        Raises NotGradedError where that is refused.
        """
        answer = await self.cancel(task_id)
        if answer.status >= 300:
            raise NotGradedError(str(answer), cause="cancel_processing")

    async def held_poll(self, task_id: str, seconds: float) -> "asyncio.Task[Answer]":
        """A long poll, so long after it was asked.

        Raises NotGradedError where it was answered at once.
        """
        poll = asyncio.create_task(self.wait(task_id))
        await self.sleep(seconds)
        self.has_waited(poll)
        return poll

    def has_waited(self, poll: "asyncio.Task[Answer]") -> None:
        """Raises NotGradedError where the poll was answered at once.

        It is still waiting, or was for a while: progress may be news,
        too.
        """
        if poll.done() and poll.result().at_once:
            raise NotGradedError(
                "a long poll without news was answered at once",
                cause="wait_ends_after_ten_seconds",
            )

    async def list_tasks(self, **query: Any) -> list[Any]:
        return self.tasks_in(await self.request("GET", "/tasks", **query))

    def tasks_in(self, answer: Answer) -> list[Any]:
        listed = ("list_has_all",)
        expect(
            answer.status == 200, f"200 for {answer.asked}", str(answer), needs=listed
        )
        tasks = answer.value()
        if isinstance(tasks, dict):
            tasks = self._list_inside(tasks)
        if not isinstance(tasks, list):
            wanted = f"a list of tasks from {answer.asked} {hint('tasks_key')}"
            raise UnmetError(wanted, str(answer), needs=listed)
        return tasks

    def _list_inside(self, body: dict[str, Any]) -> Any:
        """The list that an object means; itself where it means none."""
        # A single line of NDJSON.
        if self.solution.task_id in body:
            return [body]

        key = self.solution.tasks_key
        for name, value in body.items():
            if isinstance(value, list) and name == (key or name):
                return value

        by_id = not key and all(isinstance(value, dict) for value in body.values())
        if not by_id:
            return body
        return [{self.solution.task_id: name, **task} for name, task in body.items()]

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
        """Let time pass between two looks at a task.

        It is 0.1 s, and 1 s once it is watched for longer than any work
        is to take.
        """
        seconds = 0.1 if self.now() - begun < 35 else 1.0
        await self.sleep(seconds)

    def failed(self, status: Any) -> bool:
        return status == self.solution.failed or FAILURE.match(str(status)) is not None

    def done(self, status: Any) -> bool:
        if status in (self.solution.completed, self.solution.cancelled):
            return True
        return self.failed(status) or CANCELLATION.match(str(status)) is not None

    async def until(self, task_id: str, *statuses: Any, within: float = 120.0) -> float:
        """Poll every 0.1 s until the task has one of these statuses.

        Returns after how many seconds that was.
        """
        begun = self.now()
        wanted = " or ".join(map(repr, statuses))
        seen = await self.status(task_id)

        while seen not in statuses:
            still = f"it is still {seen!r}"
            if seen not in (self.solution.queued, self.solution.processing):
                still += f", whatever that means {hint('completed')}"
            expect(
                self.now() - begun < within,
                f"a task to become {wanted} within {within:g} s",
                still,
                needs=("works_unasked",),
            )
            expect(
                not self.done(seen),
                f"a task to become {wanted}",
                f"it ended as {seen!r}, seen every 0.1 s",
                needs=("works_unasked",),
            )

            await self.pause(begun)
            seen = await self.status(task_id)

        return self.now() - begun

    async def hand_in(self, body: Any) -> Answer:
        """Submit, with no patience for an answer that waits."""
        try:
            return await asyncio.wait_for(self.post(body), PATIENCE)
        except (asyncio.TimeoutError, TimeoutError):
            path = self._actual("/tasks")
            return Answer(f"POST {path}", seconds=PATIENCE, waits=True)

    async def fill(self, body: Any) -> tuple[list[str], Answer]:
        """Submit until a task is not accepted at once.

        Returns the ids of those accepted, and the refusal; or how it
        waits. Raises NotGradedError.
        """
        accepted: list[str] = []
        most = self.solution.queue_size + self.solution.workers + 25
        for _ in range(most):
            answer = await self.hand_in(body)
            if not answer.accepted and accepted:
                return accepted, answer

            expect(
                answer.accepted,
                "202 for a valid task",
                str(answer),
                needs=("submit_answers_202", "works_unasked"),
            )
            accepted.append(self.id_of(answer))

        raise NotGradedError(
            f"{most} tasks were accepted one after the other", cause="full_is_503"
        )

    async def many(self, count: int = 60) -> list[str]:
        """So many quick tasks, handed in and over; their ids."""
        ids = [await self.submit(self.solution.quick) for _ in range(count)]
        await self.until_over(*reversed(ids), within=31.0 * count)
        return ids

    async def until_over(self, *ids: str, within: float) -> None:
        """Look every second until all these tasks have ended."""
        begun = self.now()
        for task_id in ids:
            # It may have ended long before the others.
            answer = await self.request("GET", f"/tasks/{task_id}")
            expect(
                answer.status != 404,
                "200 for a task that exists",
                str(answer),
                needs=("kept_for_ten_minutes",),
            )
            status = await self.status(task_id)
            while not self.done(status):
                expect(
                    self.now() - begun < within,
                    f"a task to end within {within:g} s",
                    f"it is still {status!r}",
                    needs=("works_unasked", "nothing_is_lost"),
                )
                await self.sleep(1)
                status = await self.status(task_id)

    async def readable(self, status: str) -> dict[str, Any]:
        """The query of a list that can be read: none, or this status.

        That it can be read without one is a requirement of its own.
        """
        try:
            await self.list_tasks()
        except UnmetError:
            return {"status": status}
        return {}

    async def everything(self) -> list[Any]:
        """The whole list, or all of its parts by status.

        Raises NotGradedError where it is a page of it.
        """
        try:
            return await self._whole_list()
        except UnmetError:
            solution = self.solution

        tasks = []
        for status in (
            solution.queued,
            solution.processing,
            solution.completed,
            solution.failed,
            solution.cancelled,
        ):
            tasks += await self.list_tasks(status=status)
        return tasks

    async def _whole_list(self) -> list[Any]:
        """The list, with as large a limit as is accepted."""
        for limit in (10_000, 1000, 500, 200, 100, 50, 20, 10):
            answer = await self.request("GET", "/tasks", limit=limit)
            if answer.status != 200:
                continue

            tasks = self.tasks_in(answer)
            if len(tasks) == limit:
                raise NotGradedError(f"the list shows at most {limit} tasks at a time")
            return tasks

        return await self.list_tasks()

    def id_in(self, task: Any) -> str:
        """The id of a task in the list."""
        wanted = self.solution.task_id
        fields = task if isinstance(task, dict) else {}
        name = wanted if wanted in fields else "id"
        expect(
            name in fields,
            f"a field {wanted!r} of each task in the list {hint('task_id')}",
            f"one is {task!r:.100}",
        )
        return str(fields[name])

    def unlike(self, task_id: str) -> str:
        """An id of the same kind that no task has."""
        if task_id.isdigit():
            return str(int(task_id) + 10**6)
        return "00000000-0000-4000-8000-000000000000"


def _items_of(text: str) -> list[Any]:
    """What is in a list, wherever its commas are.

    Raises ValueError where the text is no list, or not all of it can be
    read.
    """
    brackets = re.fullmatch(r"\s*\[(.*)\]\s*", text, re.DOTALL)
    if brackets is None:
        raise ValueError("the text is no list")

    decoder = json.JSONDecoder()
    items = []
    rest = brackets[1].strip(", \r\n")
    while rest:
        item, end = decoder.raw_decode(rest)
        items.append(item)
        rest = rest[end:].lstrip(", \r\n")
    return items


def _written(body: Any, number: int) -> bytes:
    """A body as JSON; ``{unique}`` is another text each time."""
    if body is None:
        return b""
    return json.dumps(body).replace("{unique}", f"unique-{number}").encode()


def _address(number: int) -> str:
    """Another address for each number."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
