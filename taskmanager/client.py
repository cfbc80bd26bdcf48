"""TaskClient: submits tasks over HTTP, and waits for their results. One
file to take along, on httpx alone.

Rules: it repeats only what is safe to repeat: a read, a cancellation, a
submission under its Idempotency-Key. It comes back when the server
said, or by chance a little later, so that a crowd does not come back as
one, and not after the caller's deadline. All time is the event loop's.
Notebooks: 04-polling, 05-rate-limiting.
"""
# ruff: noqa: ASYNC109 - one timeout is for many requests

import asyncio
import itertools
import json
import random
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx

# httpx stands on it; asyncio.timeout would need Python 3.11
from anyio import CancelScope, current_time

TIMEOUT = 300.0  # seconds that a call may take, unless it says otherwise
# seconds without a byte: three times the longest long poll
SILENCE = httpx.Timeout(30.0, connect=10.0, pool=None)
# seconds of chance at most: doubled by each failure, until the longest
FIRST_SHARE, LONGEST_SHARE = 0.5, 20.0
SETTLED = 2.0  # seconds after which a request that is under way has surely been counted
RESERVE = 5  # requests that looking early leaves to those that are needed
PROCESSING = 2  # the version of a task in process: whatever comes after it is the end
LOST = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
)

Given: TypeAlias = Mapping[str, Any]
Progress: TypeAlias = Callable[["TaskRecord"], object] | None


class TaskClientError(Exception): ...  # the base of all


# it ended early, or is not what this API answers
class BrokenAnswerError(TaskClientError): ...


class DeadlineExceededError(TaskClientError):
    """Time ran out; ``__cause__`` is the last failure, if any. The task
    ``task_id``, where that is known, goes on.
    """

    def __init__(
        self, method: str, task_id: str, last: Exception | None = None
    ) -> None:
        super().__init__(
            f"no answer in time: {method} /tasks/{task_id}"
            + (f" (the last: {last})" if last else "")
        )
        self.task_id = task_id


class ProblemError(TaskClientError):
    """A refusal, with the members of its problem document (RFC 9457). A
    subclass is named after its ``code``, which is "unknown" where no
    document came, as from a proxy; ``errors`` say what to mend, and
    where.
    """

    def __init__(self, status: int, members: dict[str, Any]) -> None:
        self.status, self.code = status, members.get("code", "unknown")
        self.detail, self.errors = members.get("detail", ""), members.get("errors", [])
        super().__init__(
            f"{status} {self.code}: {self.detail} {self.errors or ''}".rstrip()
        )


class InvalidRequestError(ProblemError): ...


# unknown, cleaned up, or lost when the server started anew
class TaskNotFoundError(ProblemError): ...


class TaskFinishedError(ProblemError): ...  # completed or failed: too late to cancel it


# for something else than was first submitted under it
class IdempotencyKeyReusedError(ProblemError): ...


class TaskFailedError(TaskClientError):
    """No result: ``task`` is its record, ``code`` task_failed, timeout,
    executor_lost or internal_error.
    """

    def __init__(self, task: "TaskRecord") -> None:
        error = task.error or {"code": task.status, "message": f"task {task.task_id}"}
        super().__init__("{code}: {message}".format(**error))
        self.task, self.code = task, error["code"]


# by somebody, or by the server's stop: its code is cancelled
class TaskCancelledError(TaskFailedError): ...


class TaskRecord(SimpleNamespace):
    """A task as the server last showed it, with the members of its JSON
    as attributes: task_id, task_type, parameters, priority, status,
    version, progress (percent), queue_position, result, error,
    created_at, started_at, finished_at (RFC 3339, UTC); and
    expected_at, when it should be finished by what the server said, in
    the event loop's time.
    """


class TaskClient:
    """``async with TaskClient("http://localhost:8000") as client``: one
    server, any number of calls side by side.

    A call's ``timeout`` is the seconds for all its requests and pauses;
    then it raises DeadlineExceededError. Until then lost connections,
    408, 425, 429, and each 5xx but the application's own 500, are tried
    again; what else is refused raises a ProblemError. ``options`` are
    httpx.AsyncClient's: transport, headers, auth, verify.
    """

    def __init__(
        self, base_url: str, *, rng: random.Random | None = None, **options: Any
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url, timeout=SILENCE, limits=httpx.Limits(), **options
        )
        self._random = rng or random.Random()  # noqa: S311 - it spreads load
        # requests that the server will accept; when it will accept more
        self._left, self._reset_at = 0.0, 0.0
        self._turn, self._answers = asyncio.Lock(), 0
        self._under_way: dict[httpx.Request, float] = {}  # since when

    async def __aenter__(self) -> "TaskClient":
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._http.__aexit__(*exc_info)

    async def run(
        self, task: str, *given: Given, progress: Progress = None, **more: Any
    ) -> Any:
        """Submit a task and return its result: ``await
        client.run("compute_sum", numbers=[1, 2, 3], timeout=60)``.
        Takes what ``submit`` and ``wait`` take, and raises what they
        raise. It never submits again: not when the task failed, and not
        when the server has lost it (TaskNotFoundError).
        """
        deadline = current_time() + more.get("timeout", TIMEOUT)
        record = await self.submit(task, *given, **more)
        return (
            await self.wait(
                record, progress=progress, timeout=deadline - current_time()
            )
        ).result

    async def submit(
        self,
        task: str,
        *given: Given,
        priority: str = "normal",
        key: str = "",
        timeout: float = TIMEOUT,
        **more: Any,
    ) -> TaskRecord:
        """Queue a task of this type; its parameters are a mapping,
        keywords, or both. Raises InvalidRequestError. ``key`` is its
        Idempotency-Key, in ASCII
        (draft-ietf-httpapi-idempotency-key-header), by default a fresh
        UUID: choose it where another call may repeat this one. Raises
        IdempotencyKeyReusedError.
        """
        body = {
            "task_type": task,
            "parameters": dict(*given, **more),
            "priority": priority,
        }
        quoted = '"' + re.sub(r'(["\\])', r"\\\1", key or str(uuid.uuid4())) + '"'
        return await self._task(
            "POST", "", timeout, json=body, headers={"Idempotency-Key": quoted}
        )

    async def get(self, task_id: str, *, timeout: float = TIMEOUT) -> TaskRecord:
        """The task as it is. Raises TaskNotFoundError."""
        return await self._task("GET", task_id, timeout)

    async def cancel(self, task_id: str, *, timeout: float = TIMEOUT) -> TaskRecord:
        """The task, cancelled, now or before. Raises TaskNotFoundError,
        TaskFinishedError.
        """
        return await self._task("DELETE", task_id, timeout)

    async def wait(
        self,
        task: TaskRecord | str,
        *,
        progress: Progress = None,
        timeout: float = TIMEOUT,
    ) -> TaskRecord:
        """The task, or that with this id, once it is completed. Raises
        TaskFailed-, -Cancelled- and -NotFoundError. It long-polls from
        the time on when the task should be finished. ``progress`` is
        called with each record, the first too, and lets it poll at
        once, as long as the server would accept more than RESERVE
        requests.
        """
        deadline = current_time() + timeout
        task = await self.get(task, timeout=timeout) if isinstance(task, str) else task
        due = task.expected_at
        while True:
            if progress is not None:
                progress(task)
            if task.status == "completed":
                return task
            if task.finished_at is not None:
                raise (
                    TaskFailedError(task)
                    if task.status == "failed"
                    else TaskCancelledError(task)
                )
            early = progress is not None and self._left > RESERVE
            pause = self._share() + (0.0 if early else max(0.0, due - current_time()))
            # the server may be too cautious
            await asyncio.sleep(pause if current_time() + pause < deadline else 0.0)
            query = {"wait": "true", "since": task.version if early else PROCESSING}
            task = await self._task(
                "GET", task.task_id, deadline - current_time(), params=query
            )

    async def list(
        self, *, timeout: float = TIMEOUT, **query: str | int
    ) -> AsyncIterator[TaskRecord]:
        """The tasks in the order submitted, each as it comes: ``async
        for task in client.list(status="failed")``. ``timeout`` is for
        the answer to begin. A stream that breaks raises
        BrokenAnswerError, and is not begun anew: records would come
        twice. Where you may leave the loop early, wrap it in
        contextlib.aclosing.
        """
        headers, rest = {"Accept": "application/x-ndjson"}, b""
        answer, _ = await self._request(
            "GET", "", timeout, stream=True, params=query, headers=headers
        )
        try:
            # aiter_lines would also split at U+2028, inside of texts
            async for piece in answer.aiter_bytes():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield _record(line)
        except LOST as error:
            raise BrokenAnswerError("the list of tasks broke off") from error
        finally:
            await answer.aclose()
        if rest:
            raise BrokenAnswerError("the list of tasks ended within a line")

    async def _task(
        self, method: str, task_id: str, timeout: float, **content: Any
    ) -> TaskRecord:
        answer, told = await self._request(method, task_id, timeout, **content)
        return _record(answer.content, current_time() + told)

    async def _request(
        self, method: str, task_id: str, timeout: float, **content: Any
    ) -> tuple[httpx.Response, float]:
        stream, path = (
            content.pop("stream", False),
            "/tasks/" + quote(task_id, safe="") if task_id else "/tasks",
        )
        request = self._http.build_request(method, path, **content)
        failure: Exception | None = None
        with CancelScope(deadline=current_time() + timeout):
            for attempt in itertools.count():
                told = 0.0  # seconds to wait
                try:
                    answer = await self._send(request, stream)
                    told = (
                        float(text)
                        if (text := answer.headers.get("Retry-After", "")).isdecimal()
                        else 0.0
                    )
                    if answer.is_success:
                        return answer, told
                    members = _members(await answer.aread())
                except LOST as error:
                    failure = error
                else:
                    status, code = answer.status_code, str(members.get("code"))
                    kinds = {
                        kind.__name__: kind for kind in ProblemError.__subclasses__()
                    }
                    failure = kinds.get(
                        code.title().replace("_", "") + "Error", ProblemError
                    )(status, members)
                    if code == "internal_error" or (
                        status < 500 and status not in (408, 425, 429)
                    ):
                        raise failure
                await asyncio.sleep(told + self._share(attempt))
        raise DeadlineExceededError(method, task_id, failure) from failure

    async def _send(self, request: httpx.Request, stream: bool) -> httpx.Response:
        # Each request is one less that the server will accept. With
        # none left, or nothing known, one goes alone, after the reset:
        # its answer says how many may follow.
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._turn)
            if alone := self._left < 1:
                pause = self._reset_at - current_time()
                await asyncio.sleep(pause + self._share() if pause > 0 else 0.0)
            else:
                self._left -= 1
                await stack.aclose()
            stack.callback(self._under_way.pop, request)
            answers = self._answers
            self._under_way[request] = sent_at = current_time()
            answer = await self._http.send(request, stream=stream)
            racing = sum(at > sent_at - SETTLED for at in self._under_way.values()) - 1
            told = re.findall(
                r";\s*r=(\d+)\s*;\s*t=(\d+)", answer.headers.get("RateLimit", "")
            )
            told = told or ([("inf", "0")] if answer.is_success else [])
            # Of answers to requests that may have overtaken each other,
            # none tells what is left after all of them.
            if told and (
                alone
                or answer.status_code == 429
                or (answers == self._answers and not racing)
            ):
                left, reset = min((float(left), float(reset)) for left, reset in told)
                self._left, self._reset_at = left - racing, current_time() + reset
            self._answers += 1
            return answer

    def _share(self, attempt: int = 0) -> float:
        return self._random.uniform(
            0.0, min(LONGEST_SHARE, FIRST_SHARE * 2.0 ** min(attempt, 10))
        )


def _members(text: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        if isinstance(shown := json.loads(text), dict):
            return shown
    return {}


def _record(text: bytes, expected_at: float = 0.0) -> TaskRecord:
    members = _members(text) | {"expected_at": expected_at}
    if not {"task_id", "status", "version", "finished_at"} <= members.keys():
        raise BrokenAnswerError(f"this is no task: {text[:80]!r}")
    return TaskRecord(**members)
