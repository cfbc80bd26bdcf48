"""TaskClient submits tasks over HTTP, and waits for their results.

This file can be lifted out: it needs httpx alone (and anyio, which
httpx needs itself). It repeats only what is safe to repeat: a read, a
cancellation, and a submission under its Idempotency-Key. It comes back
when the server says so, plus some jitter, so that a crowd of clients
does not come back at once; and never after the caller's deadline. All
times are those of the event loop.

Notebooks: 05-polling, 06-rate-limiting.
"""

# A timeout here is for many requests, and chance only spreads load.
# ruff: noqa: ASYNC109, S311

import asyncio
import calendar
import inspect
import itertools
import json
import math
import random
import re
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, fields
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx

# asyncio.timeout, which would do as well, needs Python 3.11.
from anyio import CancelScope, current_time, move_on_after

# A call may take this many seconds, unless it says otherwise.
TIMEOUT = 300.0

# A connection counts as lost after 30 seconds without a byte: that is
# three times the longest long poll. Whoever waits for a connection from
# the pool has lost nothing.
NETWORK_TIMEOUT = httpx.Timeout(30.0, connect=10.0, pool=None)

# The backoff doubles with each failure. The jitter is a random part of
# it, from nothing to all.
FIRST_BACKOFF = 0.5  # seconds
LONGEST_BACKOFF = 20.0  # seconds

# A request that has been in flight for this many seconds has surely
# been counted by the rate limit of the server.
COUNTED_AFTER = 2.0

# After the scheme come, perhaps, a user, then a host and, perhaps, a
# port and a path. httpx would send a query before the rest of the path;
# it takes no control characters, and in brackets an IPv6 address alone.
BASE_URL = r"""(?isx)
    https?://
    (?!.*[\0-\x1f\x7f\ud800-\udfff])
    ([^/@]*@)?
    (\[[\da-f:.]+(%[^]]+)?\] | [^]\[/:?#\s]+)
    (:[1-6]?\d{1,4})?
    (/[^?#]*)?\Z
    """

# A structured header field has no other strings (RFC 9651, section
# 3.3.3), and the API takes none that is longer.
KEY = r"[ -~]{1,255}\Z"

# httpx would take an id of dots for a step up or down the path; half a
# surrogate pair has no form in a URL.
TASK_ID = r"(?!\.{0,2}\Z)[^\ud800-\udfff]*\Z"

# Polls that only show progress leave this many requests to others.
RESERVE = 5

# A task is queued in version 1 and processing in version 2. Whatever
# comes after that is its end.
PROCESSING_VERSION = 2

# A request with one of these errors would fail again. With any other
# RequestError of httpx, it or its answer has been lost.
LASTING_ERRORS = (
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.TooManyRedirects,
    httpx.InvalidURL,
    httpx.StreamError,
)

# Refused with one of these, or with 5xx, a request may succeed later.
TRANSIENT_STATUSES = (408, 425, 429)

# One limit in a RateLimit field: how many requests are left, and the
# seconds until there will be more.
RATE_LIMIT = re.compile(r";\s*r=(\d+)\s*;\s*t=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """This is a task as the server last showed it.

    The fields are the members of its JSON; those without a default are
    in every answer. A member that this client does not know is left
    out. Times are in RFC 3339, in UTC; ``progress`` is in percent.

    ``expected_at`` does not come from the JSON: it is when the task
    should be finished, by the server's Retry-After, in the event loop's
    time.
    """

    task_id: str
    task_type: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: str = "normal"
    status: str
    version: int
    progress: int = 0
    queue_position: int | None = None
    result: Any = None
    error: dict[str, str] | None = None
    created_at: str = ""
    started_at: str | None = None
    finished_at: str | None
    expected_at: float = 0.0


ProgressCallback: TypeAlias = Callable[[TaskRecord], object]


class TaskClientError(Exception):
    """This is the base of all errors of the client.

    ``key`` is the Idempotency-Key of a submission of which nobody knows
    whether it arrived: submit the same again with this key, and it runs
    once.
    """

    key: str | None = None


class RequestFailedError(TaskClientError):
    """A request cannot be made as it is, whenever it is tried.

    ``__cause__`` is the error of httpx that says why.
    """


class BrokenAnswerError(TaskClientError):
    """An answer ended early, or is not what this API answers.

    One that cannot be decoded was asked for twice.
    """


class DeadlineExceededError(TaskClientError):
    """The call's time ran out.

    ``__cause__`` is the last failure, if there was one. The task
    ``task_id``, where that is known, goes on.
    """

    def __init__(
        self, request: str, task_id: str = "", last: Exception | None = None
    ) -> None:
        message = f"no answer in time: {request}"
        if last is not None:
            message += f" (the last: {last})"

        super().__init__(message)
        self.task_id = task_id


class ProblemError(TaskClientError):
    """The server refused a request, with a problem document (RFC 9457).

    ``status`` is the HTTP status. ``code``, ``detail`` and ``errors``
    are members of the document; ``errors`` say what to mend, and where.
    Where no document came, as from a proxy, the code is "unknown".
    PROBLEM_ERRORS names the codes that have a subclass.
    """

    def __init__(self, status: int, members: dict[str, Any]) -> None:
        self.status = status
        self.code = members.get("code", "unknown")
        self.detail = members.get("detail", "")
        self.errors = members.get("errors", [])

        message = f"{status} {self.code}: {self.detail}"
        if self.errors:
            message += f" {self.errors}"
        super().__init__(message.rstrip())


class InvalidRequestError(ProblemError):
    """The server does not accept such a task or query."""


class TaskNotFoundError(ProblemError):
    """The task is unknown, cleaned up, or lost in a restart."""


class TaskFinishedError(ProblemError):
    """The task has completed or failed: it is too late to cancel it."""


class IdempotencyKeyReusedError(ProblemError):
    """The key was first used for another submission than this one."""


PROBLEM_ERRORS = {
    "invalid_request": InvalidRequestError,
    "task_not_found": TaskNotFoundError,
    "task_finished": TaskFinishedError,
    "idempotency_key_reused": IdempotencyKeyReusedError,
}


class TaskFailedError(TaskClientError):
    """The task has failed, and there is no result.

    ``task`` is its TaskRecord. ``code`` says why: task_failed, timeout,
    executor_lost or internal_error.
    """

    def __init__(self, task: TaskRecord) -> None:
        error = task.error or {}
        self.task = task
        self.code = error.get("code", task.status)

        message = error.get("message", f"task {task.task_id}")
        super().__init__(f"{self.code}: {message}")


class TaskCancelledError(TaskFailedError):
    """The task was cancelled, by somebody or by the server's stop.

    Its ``code`` is cancelled.
    """


class TaskClient:
    """A client talks to one server, with any number of calls at once.

    ``async with TaskClient("http://localhost:8000") as client:``. The
    ``options`` are those of httpx.AsyncClient: transport, headers,
    auth, verify.

    A call's ``timeout`` is in seconds, for all its requests and pauses.
    After it, the call raises DeadlineExceededError. Until then it
    repeats a request that was lost, or refused with 408, 425, 429 or
    5xx. Any other refusal raises ProblemError, and so does a 5xx with
    the code internal_error: the server's program would fail again.
    Arguments that no server could understand raise TypeError or
    ValueError, and are not sent.
    """

    def __init__(
        self, base_url: str, *, rng: random.Random | None = None, **options: Any
    ) -> None:
        _check("base_url is like http://host:80", base_url, str | httpx.URL, BASE_URL)

        # Connections are not limited, since many calls may long-poll.
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=NETWORK_TIMEOUT,
            limits=httpx.Limits(),
            **options,
        )
        self._random = rng or random.Random()

        # The server will accept this many requests, and more after the
        # reset. At first, nothing is known.
        self._requests_left = 0.0
        self._reset_at = 0.0

        # Requests leave one after the other.
        self._send_lock = asyncio.Lock()

        # It is set once the last request that went alone was answered.
        self._answered = asyncio.Event()
        self._answered.set()

        # Each request in flight has the time when it was sent.
        self._in_flight: dict[httpx.Request, float] = {}

        # Answers are counted, to notice those that overtake a request.
        self._answers = 0

    async def __aenter__(self) -> "TaskClient":
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._http.__aexit__(*exc_info)

    async def run(
        self,
        task_type: str,
        parameters: Mapping[str, Any] = {},
        *others: Any,
        priority: str = "normal",
        key: str | None = None,
        timeout: float = TIMEOUT,
        progress: ProgressCallback | None = None,
        **keywords: Any,
    ) -> Any:
        """Submit a task, wait for it, and return its result.

        ``await client.run("compute_sum", {"numbers": [1, 2, 3]},
        timeout=60)``. The options are those of ``submit`` and ``wait``,
        and it raises what these raise. It never submits again: not when
        the task failed, and not when the server has lost it (which
        raises TaskNotFoundError).
        """
        _check_call(
            "run",
            task_type,
            parameters,
            others,
            keywords,
            priority=priority,
            key=key,
            timeout=timeout,
            progress=progress,
        )

        deadline = _deadline(timeout)
        task = await self.submit(
            task_type, parameters, priority=priority, key=key, timeout=timeout
        )

        remaining = deadline - current_time()
        task = await self.wait(task, progress=progress, timeout=remaining)
        return task.result

    async def submit(
        self,
        task_type: str,
        parameters: Mapping[str, Any] = {},
        *others: Any,
        priority: str = "normal",
        key: str | None = None,
        timeout: float = TIMEOUT,
        **keywords: Any,
    ) -> TaskRecord:
        """Queue a task of this type, with these parameters.

        ``key`` is its Idempotency-Key, in ASCII
        (draft-ietf-httpapi-idempotency-key-header), by default a fresh
        UUID. Choose it yourself where another call may repeat this one.
        ``others`` and ``keywords`` are always refused: parameters are
        one mapping, and options have names.

        Raises InvalidRequestError and IdempotencyKeyReusedError.
        """
        _check_call(
            "submit",
            task_type,
            parameters,
            others,
            keywords,
            priority=priority,
            key=key,
            timeout=timeout,
        )

        if key is None:
            key = str(uuid.uuid4())
        body = {
            "task_type": task_type,
            "parameters": dict(parameters),
            "priority": priority,
        }

        # JSON quotes ASCII as RFC 9651 does. Where it escapes the rest,
        # half a surrogate pair can be sent, and is refused in words.
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": json.dumps(key),
        }
        content = json.dumps(body, allow_nan=False)

        try:
            return await self._request_task(
                "POST", "", timeout, content=content, headers=headers
            )
        except (DeadlineExceededError, BrokenAnswerError) as error:
            error.key = key
            error.args = (f"{error} (sent with the key {_literal(key)})",)
            raise

    async def get(self, task_id: str, *, timeout: float = TIMEOUT) -> TaskRecord:
        """Return the task as it is now. Raises TaskNotFoundError."""
        _check("task_id is the id of a task", task_id, str, TASK_ID)
        return await self._request_task("GET", task_id, timeout)

    async def cancel(self, task_id: str, *, timeout: float = TIMEOUT) -> TaskRecord:
        """Return the task, cancelled now or before.

        Raises TaskNotFoundError and TaskFinishedError.
        """
        _check("task_id is the id of a task", task_id, str, TASK_ID)
        return await self._request_task("DELETE", task_id, timeout)

    async def wait(
        self,
        task: TaskRecord | str,
        *,
        progress: ProgressCallback | None = None,
        timeout: float = TIMEOUT,
    ) -> TaskRecord:
        """Return the task, or that with this id, once it is completed.

        It long-polls from the time on when the task should be finished.
        ``progress`` is called with each record, the first too. With it,
        ``wait`` reads the task's stream of events: one request for all
        records. Where the server has none, or it breaks off, ``wait``
        polls at once, as long as the server would accept more than
        RESERVE requests.
        A poll that has to go alone is a look: it does not wait.

        Raises TaskFailedError, TaskCancelledError, TaskNotFoundError.
        """
        _check("task is a TaskRecord or an id", task, TaskRecord | str)
        _check("progress is a function", progress, Callable | None)

        deadline = _deadline(timeout)
        if isinstance(task, str):
            task = await self.get(task, timeout=timeout)
        expected_at = task.expected_at

        async with aclosing(self._events(task, deadline)) as events:
            streamed = progress is not None
            while True:
                if progress is not None:
                    progress(task)

                if task.status == "completed":
                    return task
                if task.status == "failed":
                    raise TaskFailedError(task)
                if task.finished_at is not None:
                    raise TaskCancelledError(task)

                if streamed:
                    record = None
                    with CancelScope(deadline=deadline):
                        record = await anext(events, None)
                    if record is not None:
                        task = record
                        continue
                    streamed = False

                pause = self._jitter()
                if progress is not None and self._requests_left > RESERVE:
                    # The next poll waits for any change.
                    since = task.version
                else:
                    # The next poll waits for the end.
                    since = PROCESSING_VERSION
                    pause += max(0.0, expected_at - current_time())

                # Rather than miss the deadline, it polls now: the
                # server may have been too cautious.
                if current_time() + pause >= deadline:
                    pause = 0.0
                await asyncio.sleep(pause)

                query = {"wait": "true", "since": since}
                remaining = deadline - current_time()
                task = await self._request_task(
                    "GET", task.task_id, remaining, params=query
                )

    async def list(
        self, *, timeout: float = TIMEOUT, **query: str | int
    ) -> AsyncGenerator[TaskRecord, None]:
        """Yield the tasks in the order submitted, each as it comes.

        ``async for task in client.list(status="failed"):``. Here
        ``timeout`` is for the answer to begin. A stream that breaks
        raises BrokenAnswerError, and is not begun anew: records would
        come twice. Where you may leave the loop early, wrap it in
        contextlib.aclosing.
        """
        answer = await self._request(
            "GET",
            "",
            timeout,
            stream=True,
            params=query,
            headers={"Accept": "application/x-ndjson"},
        )

        async with aclosing(_records(answer)) as records:
            async for record in records:
                yield record

    async def _events(
        self, task: TaskRecord, deadline: float
    ) -> AsyncGenerator[TaskRecord, None]:
        """Yield what the task's stream tells, while there is one."""
        try:
            answer = await self._request(
                "GET",
                task.task_id,
                deadline - current_time(),
                part="/events",
                stream=True,
            )
            async with aclosing(_records(answer, b"data:")) as records:
                async for record in records:
                    # The first may be the one that is known.
                    if record.version + record.progress > task.version + task.progress:
                        yield record
        except (ProblemError, BrokenAnswerError):
            # There are polls.
            return

    async def _request_task(
        self, method: str, task_id: str, timeout: float, **content: Any
    ) -> TaskRecord:
        """Request one task, and return its record."""
        answer = await self._request(method, task_id, timeout, **content)

        expected_at = current_time() + _retry_after(answer)
        return _task_record(answer.content, expected_at)

    async def _request(
        self,
        method: str,
        task_id: str,
        timeout: float,
        *,
        part: str = "",
        stream: bool = False,
        **content: Any,
    ) -> httpx.Response:
        """Send a request again and again, until it succeeds.

        Raises ProblemError, BrokenAnswerError or RequestFailedError
        where it never would, and DeadlineExceededError. ``stream``
        leaves the body to be read.
        """
        path = "/tasks"
        if task_id:
            path += "/" + quote(task_id, safe="") + part

        failure: Exception | None = None
        with CancelScope(deadline=_deadline(timeout)):
            for attempt in itertools.count():
                retry_after = 0.0
                try:
                    request = self._http.build_request(method, path, **content)
                    answer = await self._send(request, stream)
                    if answer.is_success:
                        return answer

                    retry_after = _retry_after(answer)
                    failure = _problem(answer.status_code, await answer.aread())
                    if not _may_succeed_later(failure):
                        raise failure
                except LASTING_ERRORS as error:
                    raise RequestFailedError(f"no request: {error}") from error
                except httpx.DecodingError as error:
                    # The second in a row is no accident.
                    if isinstance(failure, httpx.DecodingError):
                        raise BrokenAnswerError(f"no answer: {error}") from error
                    failure = error
                except httpx.RequestError as error:
                    failure = error

                await asyncio.sleep(retry_after + self._jitter(attempt))

        raise DeadlineExceededError(f"{method} {path}", task_id, failure) from failure

    async def _send(self, request: httpx.Request, stream: bool) -> httpx.Response:
        """Send a request, as soon as the server should accept it."""
        answered = asyncio.Event()
        async with self._send_lock:
            # The answer to a request that goes alone says how many may
            # follow it. Nobody waits for long for one that is slow.
            with move_on_after(COUNTED_AFTER):
                await self._answered.wait()

            if self._requests_left >= 1:
                self._requests_left -= 1
            else:
                # With no request left, or nothing known, this one goes
                # alone, after the reset.
                pause = self._reset_at - current_time()
                if pause > 0:
                    pause += self._jitter()
                await asyncio.sleep(pause)

                # A long poll would let the others wait, so that the
                # first look at the task is a short one.
                request.url = request.url.copy_remove_param("wait")
                self._answered = answered

        sent_at = current_time()
        answers_before = self._answers
        self._in_flight[request] = sent_at
        try:
            answer = await self._http.send(request, stream=stream)
        finally:
            del self._in_flight[request]
            answered.set()

        # The server may have counted these after it wrote the answer.
        uncounted = sum(
            other_sent_at > sent_at - COUNTED_AFTER
            for other_sent_at in self._in_flight.values()
        )
        overtaken = uncounted or self._answers != answers_before
        self._answers += 1

        # Of answers to requests that may have overtaken each other,
        # none tells what is left after all of them, unless no other was
        # sent after this one.
        if answered is self._answered or answer.status_code == 429 or not overtaken:
            self._note_limits(answer, uncounted)
        return answer

    def _note_limits(self, answer: httpx.Response, uncounted: int) -> None:
        """Note how many requests the server will accept from now on."""
        header = answer.headers.get("RateLimit", "")
        limits = [
            (float(left), float(seconds))
            for left, seconds in RATE_LIMIT.findall(header)
        ]

        if limits:
            # The scarcest of several limits counts.
            left, seconds = min(limits)
        elif answer.is_success:
            # A success that names no limit says that there is none.
            left = math.inf
            seconds = 0.0
        else:
            return

        self._requests_left = left - uncounted
        self._reset_at = current_time() + seconds

    def _jitter(self, attempt: int = 0) -> float:
        """Draw a part of the backoff, in seconds."""
        # The bound on the exponent keeps the power finite.
        backoff = FIRST_BACKOFF * 2.0 ** min(attempt, 10)
        return self._random.uniform(0.0, min(backoff, LONGEST_BACKOFF))


def _deadline(timeout: float) -> float:
    """Return the time of the loop's clock at which a call is over."""
    # No time would ever be past a timeout that is nan.
    _check("timeout is a number of seconds", timeout, int | float, "(?!nan)")
    return current_time() + timeout


def _retry_after(answer: httpx.Response) -> float:
    """Return the seconds that the server asks to wait, or none."""
    text = answer.headers.get("Retry-After", "")
    # Some servers send a fraction.
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)

    # A date is one of the server's clock, where that is known.
    now = _timestamp(answer.headers.get("Date", ""), time.time())
    return max(0.0, _timestamp(text, now) - now)


def _timestamp(text: str, default: float) -> float:
    """Return the seconds of a date in a header, or the default."""
    try:
        # A date in the oldest of the three forms names no zone, and is
        # in UTC as well.
        return calendar.timegm(parsedate_to_datetime(text).utctimetuple())
    except (ValueError, OverflowError):
        return default


def _problem(status: int, body: bytes) -> ProblemError:
    """Return the error for a refusal, of the class for its code."""
    members = _json_object(body)
    code = str(members.get("code"))
    error = PROBLEM_ERRORS.get(code, ProblemError)
    return error(status, members)


def _may_succeed_later(problem: ProblemError) -> bool:
    """Tell whether the same request may be accepted another time."""
    # Where too many streams are open, there are polls.
    if problem.code in ("internal_error", "too_many_streams"):
        return False
    return problem.status >= 500 or problem.status in TRANSIENT_STATUSES


async def _records(
    answer: httpx.Response, prefix: bytes = b""
) -> AsyncGenerator[TaskRecord, None]:
    """Yield the task on each line with this prefix, and close the body.

    Raises BrokenAnswerError.
    """
    # httpx's aiter_lines would also split at a U+2028 in a text.
    unfinished = b""
    try:
        async for chunk in answer.aiter_bytes():
            *lines, unfinished = (unfinished + chunk).split(b"\n")
            for line in lines:
                if line.startswith(prefix):
                    yield _task_record(line.removeprefix(prefix))
    except httpx.HTTPError as error:
        raise BrokenAnswerError("the list of tasks broke off") from error
    finally:
        await answer.aclose()

    if unfinished:
        raise BrokenAnswerError("the list of tasks ended within a line")


def _json_object(text: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; of anything else, none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _task_record(text: bytes, expected_at: float = 0.0) -> TaskRecord:
    """Return the record of a task's JSON. Raises BrokenAnswerError."""
    members = _json_object(text)
    known = {
        member.name: members[member.name]
        for member in fields(TaskRecord)
        if member.name in members
    }
    known["expected_at"] = expected_at

    try:
        return TaskRecord(**known)
    except TypeError:
        # A member without a default is missing.
        raise BrokenAnswerError(f"this is no task: {text[:80]!r}") from None


def _check(rule: str, value: object, kinds: Any, pattern: str = "") -> None:
    """Raise TypeError or ValueError where an argument breaks a rule."""
    if not isinstance(value, kinds):
        raise TypeError(f"{rule}, not {_literal(value)}")
    if pattern and not re.match(pattern, str(value)):
        raise ValueError(f"{rule}, not {_literal(value)}")


def _check_call(
    method: str,
    task_type: str,
    parameters: Mapping[str, Any],
    others: tuple[Any, ...],
    keywords: dict[str, Any],
    **options: Any,
) -> None:
    """Raise TypeError or ValueError where a call cannot be meant so.

    Calls once had their parameters as keywords: the message has the
    line to write now.
    """
    _check("parameters are one mapping", parameters, Mapping)
    if others or keywords:
        members = ", ".join(
            f"{_literal(name)}: {_literal(value)}"
            for name, value in {**parameters, **keywords}.items()
        )

        known = inspect.signature(TaskClient.run).parameters
        for value in others:
            name = "priority" if isinstance(value, str) else "timeout"
            options[name] = value
        given = "".join(
            f", {name}={_literal(value)}"
            for name, value in options.items()
            if value != known[name].default
        )

        unknown = ", ".join([*map(_literal, others), *keywords])
        raise TypeError(
            f"no option of client.{method}: {unknown}. Parameters are one mapping, and "
            "options have names: "
            f"write client.{method}({_literal(task_type)}, {{{members}}}{given})"
        )

    _check("key is 1 to 255 ASCII characters", options["key"], str | None, KEY)
    _check("progress is a function", options.get("progress"), Callable | None)


def _literal(value: object) -> str:
    """Return a value as source text, or dots where that is too long."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=not value.isprintable())
    else:
        text = repr(value)

    # A function has no source text that stands for it.
    if len(text) > 200 or callable(value):
        return "..."
    return text
