"""The client: against the app and a scripted server on virtual time,
and over sockets that stall, break and restart.
"""

import ast
import asyncio
import contextlib
import functools
import json
import math
import random
import re
import selectors
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from taskmanager import client
from taskmanager.api import create_app
from taskmanager.client import TaskClient, TaskRecord
from taskmanager.testing import VirtualLoop, clocks_of
from tests.helpers import Gate, project_root, running, settings

TASK = {"task_id": "a1", "status": "queued", "version": 1, "finished_at": None}
DONE = TASK | {
    "status": "completed",
    "version": 3,
    "finished_at": "2026-01-01T00:00:05.000Z",
    "result": {"sum": 6},
}


# Time


class HurriedLoop(asyncio.SelectorEventLoop):
    """A loop on which a second takes 50 ms, for what needs real sockets
    and pauses.
    """

    SPEED = 20

    def __init__(self) -> None:
        super().__init__(_HurriedSelector())
        self.set_debug(False)  # it would triple what a request costs

    def time(self) -> float:
        return super().time() * self.SPEED


class _HurriedSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / HurriedLoop.SPEED)


def on(
    make_loop: Callable[[], Any],
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Run a test on a loop of this kind, for at most an hour of its
    time. What it leaves behind fails it.
    """

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            with (
                contextlib.closing(make_loop()) as loop,
                contextlib.ExitStack() as stack,
            ):
                if isinstance(loop, VirtualLoop):
                    stack.enter_context(clocks_of(loop))
                loop.run_until_complete(asyncio.wait_for(test(**fixtures), 3600))
                loop.run_until_complete(loop.shutdown_asyncgens())
                assert not asyncio.all_tasks(loop)

        return run

    return decorate


def now() -> float:
    return asyncio.get_running_loop().time()


class Fraction(random.Random):
    """Chance that always draws this fraction of what it may."""

    def __init__(self, fraction: float) -> None:
        super().__init__(0)
        self.fraction = fraction

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.fraction


# Servers


class Wire(httpx.AsyncBaseTransport):
    """Requests to an app, seen by it at one address, and written down;
    each way may take up to ``latency`` seconds.
    """

    def __init__(self, app: FastAPI, latency: float = 0.0) -> None:
        self._inner = httpx.ASGITransport(app=app, client=("10.0.0.7", 1))
        self._latency, self._random = latency, random.Random(7)
        self.answers: list[int] = []  # their statuses

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._random.uniform(0, self._latency))
        response = await self._inner.handle_async_request(request)
        self.answers.append(response.status_code)
        await asyncio.sleep(self._random.uniform(0, self._latency))
        return response


class Script(httpx.AsyncBaseTransport):
    """A server that answers with these, one after the other, and the
    last one for ever. Exceptions it raises; the others are JSON, or a
    status with JSON or bytes, headers, and the seconds that the answer
    takes.
    """

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []  # when each came

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(now())
        assert len(self.times) < 2000, "asked again and again"
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, headers, *seconds = (
            answer if isinstance(answer, tuple) else (200, answer, {})
        )
        await asyncio.sleep(sum(seconds))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, content=content, headers=headers)

    def client(self, fraction: float = 0.0) -> TaskClient:
        return TaskClient("http://test", transport=self, rng=Fraction(fraction))


def problem(
    status: int, code: str, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    return status, {"code": code, "detail": "Why.", "status": status}, headers


def left(remaining: int, reset: int) -> dict[str, str]:
    return {"RateLimit": f'"default";r={remaining};t={reset}'}


SILENT = 200, TASK, {}, math.inf


@contextlib.asynccontextmanager
async def client_of_app(
    latency: float = 0.0, **changes: Any
) -> AsyncIterator[tuple[TaskClient, Wire]]:
    """A client of an app that takes real durations, by default without
    a rate limit.
    """
    async with running(**{"work_scale": 1.0} | changes) as app:
        wire = Wire(app, latency)
        async with TaskClient(
            "http://test", transport=wire, rng=random.Random(1)
        ) as tasks:
            yield tasks, wire


# Ten requests a minute

DURATIONS = [5, 11, 17, 24, 30]  # seconds


async def run_for(tasks: TaskClient, seconds: int, **options: Any) -> float:
    """Run a task that takes as long; returns the seconds until its
    result was there.
    """
    start = now()
    if seconds == 5:
        assert await tasks.run("compute_sum", numbers=[1, 2, 3], **options) == {
            "sum": 6
        }
    else:
        result = await tasks.run(
            "generate_report", title="x", sections=seconds - 10, **options
        )
        assert result["report"].count("## Section") == seconds - 10
    return now() - start


@on(VirtualLoop)
async def test_five_tasks_at_once_are_done_in_ten_requests() -> None:
    async with client_of_app(rate_limit=10) as (tasks, wire):
        took = await asyncio.gather(*(run_for(tasks, seconds) for seconds in DURATIONS))
        assert wire.answers == [202] * 5 + [200] * 5
        assert all(
            seconds <= end < seconds + 1
            for seconds, end in zip(DURATIONS, took, strict=True)
        ), took


@on(VirtualLoop)
async def test_five_tasks_one_after_the_other_are_done_in_ten_requests() -> None:
    async with client_of_app(rate_limit=10) as (tasks, wire):
        took = [await run_for(tasks, seconds) for seconds in DURATIONS]
        assert wire.answers == [202, 200] * 5
        assert all(
            seconds <= end < seconds + 1
            for seconds, end in zip(DURATIONS, took, strict=True)
        ), took


@on(VirtualLoop)
async def test_looking_early_leaves_requests_for_the_ends() -> None:
    seen: dict[str, list[str]] = defaultdict(list)

    def see(task: TaskRecord) -> None:
        seen[task.task_id].append(task.status)

    async with client_of_app(rate_limit=10) as (tasks, wire):
        await run_for(tasks, 30, progress=see)
        assert [*seen.values()] == [
            ["queued", "processing", "processing", "processing", "completed"]
        ]
        await asyncio.sleep(60)
        took = await asyncio.gather(
            *(run_for(tasks, seconds, progress=see) for seconds in DURATIONS)
        )
        assert 429 not in wire.answers
        assert all(
            seconds <= end < seconds + 1
            for seconds, end in zip(DURATIONS, took, strict=True)
        ), took
        assert all(
            statuses[0] == "queued" and statuses[-1] == "completed"
            for statuses in seen.values()
        )


@pytest.mark.parametrize("latency", [0.0, 0.5])
@on(VirtualLoop)
async def test_many_tasks_take_as_many_minutes_as_they_need_and_no_refusal(
    latency: float,
) -> None:
    async with client_of_app(latency, rate_limit=10) as (tasks, wire):
        await asyncio.gather(
            *(run_for(tasks, DURATIONS[n % 5], timeout=900) for n in range(25))
        )
        assert 429 not in wire.answers
        # 50, and polls of those whose place in the queue was misjudged
        assert len(wire.answers) <= 60
        assert now() < 60 * 5 + 20


@on(VirtualLoop)
async def test_two_programs_at_one_address_share_its_requests() -> None:
    async with running(work_scale=1.0, rate_limit=10) as app:
        wires = Wire(app), Wire(app)
        async with (
            TaskClient("http://t", transport=wires[0]) as one,
            TaskClient("http://t", transport=wires[1]) as two,
        ):
            await asyncio.gather(
                *(run_for(tasks, 5, timeout=900) for tasks in (one, two) * 10)
            )
        # neither can know of the other, but both recover
        assert all(wire.answers.count(429) <= 5 for wire in wires)


# When to come, and when to come again


@on(VirtualLoop)
async def test_a_reset_of_a_second_is_waited_for() -> None:
    script = Script((200, TASK, left(0, 1)), TASK)
    async with script.client() as tasks:
        for _ in range(2):
            await tasks.get("a1")
    assert script.times == [0, 1]


@on(VirtualLoop)
async def test_requests_stop_before_they_are_refused() -> None:
    script = Script(
        (200, TASK, left(1, 40)), (200, TASK, left(0, 30)), (200, TASK, left(9, 60))
    )
    async with script.client(fraction=1.0) as tasks:
        for _ in range(12):
            await tasks.get("a1")
    assert script.times == [0, 0] + [30.5] * 10


@on(VirtualLoop)
async def test_a_reset_is_counted_from_the_answer_as_nobody_knows_when_the_request_arrived() -> (
    None
):
    script = Script((200, TASK, left(0, 60), 5))
    async with script.client() as tasks:
        await tasks.get("a1")
        await tasks.get("a1")
    assert script.times == [0, 65]


@on(VirtualLoop)
async def test_the_scarcest_of_several_limits_counts() -> None:
    fields = {"RateLimit": '"burst";r=0;t=7, "default";r=100;t=60'}
    script = Script((200, TASK, fields))
    async with script.client() as tasks:
        await tasks.get("a1")
        await tasks.get("a1")
    assert script.times == [0, 7]


@on(VirtualLoop)
async def test_without_a_limit_nobody_waits_for_a_turn() -> None:
    script = Script(TASK, SILENT)
    async with script.client() as tasks:
        await tasks.get("a1")
        await asyncio.gather(
            *(tasks.get("a1", timeout=5) for _ in range(50)), return_exceptions=True
        )
    assert script.times == [0] * 51


@on(VirtualLoop)
async def test_a_failure_in_between_does_not_lift_the_limit() -> None:
    script = Script((200, TASK, left(1, 60)), (502, b"", {}), (200, TASK, left(9, 60)))
    async with script.client() as tasks:
        for _ in range(2):
            await tasks.get("a1")
    assert script.times == [0, 0, 60]


@pytest.mark.parametrize(
    ("second", "third"),
    [
        pytest.param((1, 1), (2, 3), id="the answers overtake each other"),
        pytest.param((1, 3), (2, 1), id="the requests overtake each other"),
        pytest.param((1, 1), (1, 3), id="others use the address as well"),
    ],
)
@pytest.mark.parametrize("fourth", [(0, 0), (0, 5)])
@on(VirtualLoop)
async def test_answers_out_of_order(
    second: tuple[int, int], third: tuple[int, int], fourth: tuple[int, int]
) -> None:
    """Three requests are left, after the first. Each answer tells what
    is left then, and comes so many seconds late.
    """
    late = [
        (200, TASK, left(remaining, 60), seconds)
        for remaining, seconds in (second, third, fourth)
    ]
    script = Script((200, TASK, left(3, 60)), *late)
    async with script.client() as tasks:
        await tasks.get("a1")
        both = asyncio.gather(tasks.get("a1"), tasks.get("a1"))
        await asyncio.sleep(2)
        last = asyncio.create_task(tasks.get("a1"))
        await both
        # one too many, whatever the answers said
        await asyncio.gather(last, tasks.get("a1"))
    assert script.times[:4] == [0, 0, 0, 2]
    assert script.times[4] >= 60


@on(VirtualLoop)
async def test_a_request_alone_counts_those_that_may_arrive_after_it() -> None:
    script = Script(
        (200, TASK, left(1, 5)),
        (200, TASK, left(3, 60), 9),
        (200, TASK, left(3, 60)),
        (200, TASK, left(0, 60)),
    )
    async with script.client() as tasks:
        await tasks.get("a1")
        await asyncio.sleep(10)
        slow = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(1)
        # alone: three are left, and the slow one may still be on its
        # way
        await tasks.get("a1")
        await asyncio.gather(slow, *(tasks.get("a1") for _ in range(3)))
    assert script.times[:5] == [0, 10, 11, 11, 11]
    assert script.times[5] >= 71


@on(VirtualLoop)
async def test_a_long_poll_has_been_counted() -> None:
    script = Script(
        (200, TASK, left(3, 60)), (200, TASK, left(2, 60), 20), (200, TASK, left(9, 1))
    )
    async with script.client() as tasks:
        await tasks.get("a1")
        poll = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(5)
        for _ in range(10):
            await tasks.get("a1")
        assert now() == 5
        await poll


@on(VirtualLoop)
async def test_who_waits_for_a_turn_waits_no_longer_than_its_deadline() -> None:
    script = Script((200, TASK, left(0, 60)))
    async with script.client() as tasks:
        await tasks.get("a1")
        patient = asyncio.create_task(tasks.get("a1"))
        with pytest.raises(client.DeadlineExceededError):
            await tasks.get("a1", timeout=5)
        assert now() == 5
        await patient
        assert script.times == [0, 60]


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 0.0), (1.0, 0.5)])
@pytest.mark.parametrize(
    "answer",
    [problem(429, "rate_limited"), problem(503, "queue_full"), (502, b"<html>", {})],
)
@on(VirtualLoop)
async def test_a_refusal_is_repeated_when_it_says(
    answer: Any, fraction: float, share: float
) -> None:
    script = Script((*answer[:2], {"Retry-After": "17"}), (202, TASK, {}))
    async with script.client(fraction) as tasks:
        await tasks.submit("compute_sum", numbers=[1])
    assert script.times == [0, 17 + share]


@on(VirtualLoop)
async def test_a_refusal_for_want_of_requests_is_repeated_when_it_says() -> None:
    limited = problem(429, "rate_limited", **{"Retry-After": "55"} | left(0, 55))
    script = Script(limited, (200, TASK, left(9, 60)))
    async with script.client(fraction=1.0) as tasks:
        await tasks.get("a1")
    assert script.times == [0, 55.5]


@on(VirtualLoop)
async def test_a_task_is_polled_when_it_should_be_finished() -> None:
    script = Script((202, TASK, {"Retry-After": "5"}), DONE)
    async with script.client(fraction=1.0) as tasks:
        assert await tasks.run("compute_sum", numbers=[1, 2, 3]) == {"sum": 6}
    assert script.times == [0, 5.5]
    assert script.requests[1].url.raw_path == b"/tasks/a1?wait=true&since=2"


@on(VirtualLoop)
async def test_a_task_that_is_due_is_polled_at_once() -> None:
    script = Script(TASK, DONE)
    async with script.client() as tasks:
        await tasks.wait("a1")
    assert script.times == [0, 0]


@on(VirtualLoop)
async def test_who_wants_to_see_progress_polls_at_once() -> None:
    script = Script((202, TASK, {"Retry-After": "5"} | left(9, 60)), DONE)
    async with script.client() as tasks:
        await tasks.run("compute_sum", numbers=[1, 2, 3], progress=lambda _: None)
    assert script.times == [0, 0]


@on(VirtualLoop)
async def test_the_deadline_of_a_wait_covers_its_first_look() -> None:
    script = Script(SILENT)
    async with script.client() as tasks:
        with pytest.raises(client.DeadlineExceededError):
            await tasks.wait("a1", timeout=3)
        assert now() == 3


@on(VirtualLoop)
async def test_a_task_that_should_finish_after_the_deadline_is_polled_at_once() -> None:
    script = Script((202, TASK, {"Retry-After": "600"}), DONE)
    async with script.client() as tasks:
        assert await tasks.run("compute_sum", numbers=[1, 2, 3], timeout=60) == {
            "sum": 6
        }
    assert script.times == [0, 0]


@pytest.mark.parametrize(
    "answer",
    [httpx.ConnectError("no"), (503, b"", {"Retry-After": "soon"}), (500, b"", {})],
)
@on(VirtualLoop)
async def test_pauses_double_up_to_a_bound(answer: Any) -> None:
    script = Script(*[answer] * 9, TASK)
    async with script.client(fraction=1.0) as tasks:
        await tasks.get("a1")
    pauses = [
        after - before
        for before, after in zip(script.times, script.times[1:], strict=False)
    ]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 20, 20, 20]


@on(VirtualLoop)
async def test_pauses_are_drawn_from_the_whole_of_their_bound() -> None:
    pauses = []
    for seed in range(200):
        script = Script(httpx.ReadError("gone"), TASK)
        async with TaskClient(
            "http://test", transport=script, rng=random.Random(seed)
        ) as tasks:
            await tasks.get("a1")
        pauses.append(script.times[1] - script.times[0])
    assert 0 <= min(pauses) < 0.05
    assert 0.45 < max(pauses) <= 0.5


@on(VirtualLoop)
async def test_a_server_that_stays_away_is_tried_for_ever_where_time_is_endless() -> (
    None
):
    script = Script(*[httpx.ConnectError("no")] * 1500, TASK)
    async with script.client() as tasks:
        await tasks.get("a1", timeout=math.inf)
    assert len(script.times) == 1501


# What is safe to repeat

LOST = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
]
LOST += [httpx.RemoteProtocolError, httpx.PoolTimeout, httpx.ProxyError]
CALLS = {
    "submit": lambda tasks: tasks.submit("compute_sum", numbers=[1]),
    "get": lambda tasks: tasks.get("a1"),
    "cancel": lambda tasks: tasks.cancel("a1"),
    "wait": lambda tasks: tasks.wait(TaskRecord(**TASK, expected_at=0.0)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        *(kind("gone") for kind in LOST),
        *((status, b"", {}) for status in (408, 425, 429, 500, 502, 503, 504)),
    ],
)
@on(VirtualLoop)
async def test_what_was_lost_is_repeated_as_it_was(call: str, answer: Any) -> None:
    script = Script(answer, answer, DONE)
    async with script.client() as tasks:
        assert (await CALLS[call](tasks)).status == "completed"
    first, *others = script.requests
    assert len(others) == 2
    for other in others:
        assert (other.method, other.url, other.content) == (
            first.method,
            first.url,
            first.content,
        )
        assert other.headers == first.headers
    assert ("idempotency-key" in first.headers) == (call == "submit")


REFUSALS: list[tuple[Any, type[client.ProblemError]]] = [
    (problem(400, "invalid_request"), client.InvalidRequestError),
    (problem(404, "task_not_found"), client.TaskNotFoundError),
    (problem(404, "not_found"), client.ProblemError),
    (problem(409, "task_finished"), client.TaskFinishedError),
    (problem(413, "body_too_large"), client.ProblemError),
    (problem(422, "idempotency_key_reused"), client.IdempotencyKeyReusedError),
    (problem(500, "internal_error"), client.ProblemError),
    ((403, b"<html>", {}), client.ProblemError),
    ((403, {"error": "not ours", "errors": None}, {}), client.ProblemError),
    ((307, b"", {"Location": "http://elsewhere/"}), client.ProblemError),
]


@pytest.mark.parametrize(("answer", "kind"), REFUSALS)
@pytest.mark.parametrize("call", CALLS)
@on(VirtualLoop)
async def test_what_was_refused_is_not_repeated(
    call: str, answer: Any, kind: type[client.ProblemError]
) -> None:
    script = Script(answer)
    async with script.client() as tasks:
        with pytest.raises(client.ProblemError) as caught:
            await CALLS[call](tasks)
    assert type(caught.value) is kind
    assert caught.value.status == answer[0]
    expected = answer[1] if isinstance(answer[1], dict) else {}
    assert (caught.value.code, caught.value.detail) == (
        expected.get("code", "unknown"),
        expected.get("detail", ""),
    )
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (problem(404, "task_not_found"), client.TaskNotFoundError),
        (
            DONE
            | {"status": "failed", "error": {"code": "timeout", "message": "Late."}},
            client.TaskFailedError,
        ),
        (DONE | {"status": "cancelled", "error": None}, client.TaskCancelledError),
    ],
)
@on(VirtualLoop)
async def test_what_was_submitted_is_not_submitted_anew(
    end: Any, error: type[Exception]
) -> None:
    script = Script((202, TASK, {}), end)
    async with script.client() as tasks:
        with pytest.raises(error):
            await tasks.run("compute_sum", numbers=[1])
    assert [request.method for request in script.requests] == ["POST", "GET"]


@pytest.mark.parametrize("error", [httpx.UnsupportedProtocol, httpx.LocalProtocolError])
@on(VirtualLoop)
async def test_what_cannot_be_sent_is_not_repeated(error: type[Exception]) -> None:
    script = Script(error("never"))
    async with script.client() as tasks:
        with pytest.raises(error):
            await tasks.get("a1")
    assert len(script.requests) == 1


@on(VirtualLoop)
async def test_each_submission_has_a_key_of_its_own() -> None:
    script = Script((202, TASK, {}))
    async with script.client() as tasks:
        for _ in range(3):
            await tasks.submit("compute_sum", {"numbers": [1]})
        await tasks.submit("compute_sum", key='say "hi" \\')
    *fresh, own = [request.headers["Idempotency-Key"] for request in script.requests]
    assert len(set(fresh)) == 3
    assert all(
        re.fullmatch('"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"', key)
        for key in fresh
    )
    assert own == r'"say \"hi\" \\"'


@on(VirtualLoop)
async def test_parameters_are_a_mapping_or_keywords_or_both() -> None:
    script = Script((202, TASK, {}))
    async with script.client() as tasks:
        await tasks.submit(
            "x", {"timeout": 1, "a": 2}, a=3, b=4, priority="high", timeout=9
        )
        await tasks.submit("x")
    bodies = [json.loads(request.content) for request in script.requests]
    assert bodies[0] == {
        "task_type": "x",
        "parameters": {"timeout": 1, "a": 3, "b": 4},
        "priority": "high",
    }
    assert bodies[1] == {"task_type": "x", "parameters": {}, "priority": "normal"}


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"3", b"<html>", b'{"a": 1}', b"\xff", b'{"task_id": "a1"'],
)
@on(VirtualLoop)
async def test_a_success_that_is_no_task_is_a_broken_answer(text: bytes) -> None:
    script = Script(text)
    async with script.client() as tasks:
        with pytest.raises(
            client.BrokenAnswerError,
            match=f"^this is no task: {re.escape(repr(text))}$",
        ):
            await tasks.get("a1")
    assert len(script.requests) == 1


@on(VirtualLoop)
async def test_an_id_cannot_lead_elsewhere() -> None:
    script = Script(TASK)
    async with script.client() as tasks:
        await tasks.get("../health?x=#")
    assert script.requests[0].url.raw_path == b"/tasks/..%2Fhealth%3Fx%3D%23"


# Deadlines


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer", [SILENT, httpx.ConnectError("no"), problem(503, "queue_full")]
)
@on(VirtualLoop)
async def test_the_default_deadline(call: str, answer: Any) -> None:
    async with Script(answer).client(0.5) as tasks:
        with pytest.raises(client.DeadlineExceededError) as caught:
            await CALLS[call](tasks)
    assert now() == client.TIMEOUT == 300
    assert caught.value.task_id == ("" if call == "submit" else "a1")
    cause = caught.value.__cause__
    match answer:
        case Exception():
            assert cause is answer
        case (503, *_):
            assert isinstance(cause, client.ProblemError)
            assert cause.code == "queue_full"
        case _:
            assert cause is None


@pytest.mark.parametrize("timeout", [0.0, -1.0, 3.0, 7.0, 20.0, 29.9])
@on(VirtualLoop)
async def test_the_callers_deadline_covers_all_of_a_run(timeout: float) -> None:
    async with client_of_app() as (tasks, _):
        task_id = (
            await tasks.submit("generate_report", title="x", sections=20, key="k")
        ).task_id
        start = now()
        with pytest.raises(
            client.DeadlineExceededError,
            match=r"^no answer in time: (GET|POST) /tasks/",
        ) as caught:
            await tasks.run(
                "generate_report", title="x", sections=20, key="k", timeout=timeout
            )
        assert now() - start == pytest.approx(max(timeout, 0))
        assert caught.value.task_id in ("", task_id)
        assert (await tasks.get(task_id)).status == "processing"  # it goes on
        assert (await tasks.wait(task_id)).result["title"] == "x"


@on(VirtualLoop)
async def test_what_the_submission_takes_is_not_left_for_the_wait() -> None:
    script = Script(
        problem(503, "queue_full", **{"Retry-After": "20"}), (202, TASK, {}), SILENT
    )
    async with script.client() as tasks:
        with pytest.raises(client.DeadlineExceededError):
            await tasks.run("compute_sum", numbers=[1], timeout=30)
        assert now() == 30


@on(VirtualLoop)
async def test_silence_is_longer_than_the_longest_long_poll_but_not_endless() -> None:
    script = Script(TASK)
    async with script.client() as tasks:
        await tasks.get("a1")
    silence = script.requests[0].extensions["timeout"]
    assert 2 * settings().wait_timeout < silence["read"] < 60
    assert silence["connect"] < 60
    # who waits for a connection of our own has lost nothing
    assert silence["pool"] is None


@on(VirtualLoop)
async def test_a_caller_who_is_cancelled_asks_no_more() -> None:
    async with client_of_app() as (tasks, wire):
        run = asyncio.create_task(run_for(tasks, 5))
        await asyncio.sleep(1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await asyncio.sleep(60)
        assert wire.answers == [202]


# The life of a task


@on(VirtualLoop)
async def test_progress_shows_what_happens() -> None:
    seen: list[TaskRecord] = []
    async with client_of_app() as (tasks, _):
        await tasks.run("generate_report", title="x", sections=20, progress=seen.append)
        assert [task.status for task in seen] == [
            "queued",
            "processing",
            "processing",
            "processing",
            "completed",
        ]
        assert [task.progress for task in seen] == sorted(
            task.progress for task in seen
        )
        assert 0 < seen[2].progress < seen[3].progress < seen[4].progress == 100
        seen.clear()
        task_id = (await tasks.submit("compute_sum", numbers=[1])).task_id
        await tasks.wait(task_id, progress=seen.append)
        assert {task.task_id for task in seen} == {task_id}
        assert [task.version for task in seen] == [2, 3]


@on(VirtualLoop)
async def test_a_failure_and_a_cancellation_are_raised() -> None:
    async with client_of_app() as (tasks, _):
        with pytest.raises(
            client.TaskFailedError, match=r"^task_failed: on purpose$"
        ) as failed:
            await tasks.run("simulate_failure", message="on purpose")
        assert (failed.value.code, failed.value.task.status) == (
            "task_failed",
            "failed",
        )
        assert type(failed.value) is client.TaskFailedError
        with pytest.raises(client.TaskFailedError) as crashed:
            await tasks.run("simulate_failure", kind="crash")
        assert crashed.value.code == "internal_error"

        run = asyncio.create_task(run_for(tasks, 30))
        await asyncio.sleep(1)
        (task,) = [task async for task in tasks.list(status="processing")]
        for _ in range(2):
            assert (await tasks.cancel(task.task_id)).status == "cancelled"
        with pytest.raises(client.TaskCancelledError) as cancelled:
            await run
        assert (cancelled.value.code, cancelled.value.task.task_id) == (
            "cancelled",
            task.task_id,
        )

        with pytest.raises(client.TaskFinishedError):
            await tasks.cancel(failed.value.task.task_id)
        with pytest.raises(
            client.InvalidRequestError, match=r"#/parameters/numbers/1"
        ) as invalid:
            await tasks.run("compute_sum", numbers=[1, "2"])
        assert invalid.value.errors[0]["pointer"] == "#/parameters/numbers/1"
        with pytest.raises(
            client.TaskNotFoundError, match=r"after a while\.$"
        ) as unknown:
            await tasks.wait("00000000-0000-4000-8000-000000000000")
        assert (unknown.value.status, unknown.value.code, unknown.value.errors) == (
            404,
            "task_not_found",
            [],
        )
        assert await tasks.run("compute_sum", {"numbers": [1, 2]}) == {"sum": 3}


@on(VirtualLoop)
async def test_a_key_stands_for_one_task() -> None:
    async with client_of_app() as (tasks, _):
        first = await tasks.submit("compute_sum", numbers=[1], key='my "key"')
        again = await tasks.submit("compute_sum", numbers=[1], key='my "key"')
        assert again.task_id == first.task_id
        assert await tasks.run("compute_sum", numbers=[1], key='my "key"') == {"sum": 1}
        assert await tasks.run("compute_sum", numbers=[1], key='my "key"') == {"sum": 1}
        with pytest.raises(client.IdempotencyKeyReusedError):
            await tasks.submit("compute_sum", numbers=[2], key='my "key"')
        assert len([task async for task in tasks.list()]) == 1


@on(VirtualLoop)
async def test_a_full_queue_is_waited_for() -> None:
    async with client_of_app(workers=1, queue_size=1) as (tasks, wire):
        results = await asyncio.gather(
            *(tasks.run("compute_sum", numbers=[n]) for n in range(5))
        )
        assert results == [{"sum": n} for n in range(5)]
        assert 503 in wire.answers


# The list


@on(VirtualLoop)
async def test_the_list_shows_the_tasks_in_the_order_submitted(gate: Gate) -> None:
    async with client_of_app(queue_size=1000) as (tasks, _):
        # which str.splitlines would split
        titles = [f"a\u2028b\x85{n}".replace("\x85", "\u2029") for n in range(300)]
        for title in titles:
            await tasks.submit("generate_report", title=title)
        assert [task.parameters["title"] async for task in tasks.list()] == titles
        processing = [task async for task in tasks.list(status="processing", limit=2)]
        assert [task.parameters["title"] for task in processing] == titles[:2]
        with pytest.raises(client.InvalidRequestError) as caught:
            await anext(tasks.list(status="lost"))
        assert caught.value.errors[0]["parameter"] == "status"


@on(VirtualLoop)
async def test_a_list_that_cannot_begin_is_repeated() -> None:
    script = Script(
        httpx.ConnectError("no"),
        problem(503, "shutting_down", **{"Retry-After": "5"}),
        b"",
    )
    async with script.client() as tasks:
        assert [task async for task in tasks.list()] == []
    assert script.times == [0, 0, 5]
    assert script.requests[0].headers["Accept"] == "application/x-ndjson"


# Over sockets that stall, break and restart


Handle = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]


@contextlib.asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[str]:
    """A server of our own on a loopback port; yields its address. Its
    connections are closed with it.
    """
    connections: set[asyncio.Task[None]] = set()

    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            await handle(reader, writer)
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        for task in connections:
            task.cancel()
        while connections:
            await asyncio.sleep(0.1)
        await server.wait_closed()


class Server(uvicorn.Server):
    capture_signals = contextlib.nullcontext  # type: ignore[assignment]


@contextlib.asynccontextmanager
async def serving(port: int = 0, **changes: Any) -> AsyncIterator[tuple[FastAPI, int]]:
    """The app on a loopback port, in this loop; yields it and its port."""
    app = create_app(settings(**changes))
    server = Server(uvicorn.Config(app, port=port, log_config=None, ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.1)
    try:
        yield app, server.servers[0].sockets[0].getsockname()[1]
    finally:
        app.state.manager.begin_stop()  # what the signal would do
        server.should_exit = True
        await task


class Proxy:
    """Stands before a server, and drops every third answer: all of it,
    and the next time half of it.
    """

    def __init__(self, port: int) -> None:
        self.port, self.passed, self.dropped = port, 0, 0

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        request = await read_request(reader)
        behind, there = await asyncio.open_connection("127.0.0.1", self.port)
        there.write(request.replace(b"Connection: keep-alive", b"Connection: close"))
        answer = await behind.read()
        there.close()
        await there.wait_closed()
        self.passed += 1
        if self.passed % 3 == 0:
            self.dropped += 1
            answer = answer[: len(answer) // 2 if self.dropped % 2 else 0]
        writer.write(answer)
        await writer.drain()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return head + await reader.readexactly(int(length[1]) if length else 0)


@on(HurriedLoop)
async def test_two_hundred_runs_over_a_bad_network_run_once(
    handle_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # for a busy machine
    monkeypatch.setattr(client, "SILENCE", httpx.Timeout(600, pool=None))
    runs: Counter[int] = Counter()

    async def handle(task_type: str, parameters: Any, tools: Any) -> dict[str, Any]:
        runs[parameters.numbers[0]] += 1
        return {"sum": sum(parameters.numbers)}

    handle_with(handle)
    async with serving(queue_size=1000) as (app, port):
        proxy = Proxy(port)
        async with listening(proxy) as address, TaskClient(address) as tasks:
            results = await asyncio.gather(
                *(
                    tasks.run("compute_sum", numbers=[n, 1], timeout=3600)
                    for n in range(200)
                )
            )
        assert results == [{"sum": n + 1} for n in range(200)]
        assert runs == Counter(range(200))
        assert app.state.manager.stats()["tasks"] == 200
        assert proxy.dropped >= 200 / 2


@on(HurriedLoop)
async def test_a_server_that_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST_SHARE", 1.0)
    async with serving(work_scale=1) as (_, port):
        pass
    async with TaskClient(f"http://127.0.0.1:{port}") as tasks:
        submitting = asyncio.create_task(
            tasks.submit("compute_sum", numbers=[1], key="k")
        )
        await asyncio.sleep(5)
        assert not submitting.done()  # nobody listens
        async with serving(port, work_scale=1):
            task = await submitting
            assert (await tasks.wait(task)).result == {"sum": 1}
            waiting = asyncio.create_task(
                tasks.run("generate_report", title="x", sections=20, progress=print)
            )
            await asyncio.sleep(3)
        # the server's stop answers its long polls
        with pytest.raises(client.TaskCancelledError):
            await waiting
        lost = asyncio.create_task(tasks.wait(task.task_id))
        await asyncio.sleep(5)
        async with serving(port, work_scale=1) as (app, _):
            with pytest.raises(client.TaskNotFoundError):
                await lost
            # what was lost is not submitted anew
            assert app.state.manager.stats()["tasks"] == 0


@on(HurriedLoop)
async def test_a_server_that_never_answers() -> None:
    hung_up = asyncio.Event()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await read_request(reader)
        assert await reader.read() == b""
        hung_up.set()

    async with listening(handle) as address, TaskClient(address) as tasks:
        start = now()
        with pytest.raises(client.DeadlineExceededError) as caught:
            await tasks.get("a1", timeout=5)
        assert 5 <= now() - start < 30
        assert caught.value.__cause__ is None
        await asyncio.wait_for(hung_up.wait(), 60)


@on(HurriedLoop)
async def test_a_server_that_falls_silent_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "SILENCE", httpx.Timeout(5, pool=None))
    requests = 0

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        body = json.dumps(DONE).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            % len(body)
        )
        if requests == 1:
            await asyncio.sleep(600)
        for start in range(0, len(body), 10):  # slowly, but never silent for long
            writer.write(body[start : start + 10])
            await writer.drain()
            await asyncio.sleep(0.5)

    async with listening(handle) as address, TaskClient(address) as tasks:
        start = now()
        assert (await tasks.get("a1")).result == {"sum": 6}
        assert 5 <= now() - start < 60
    assert requests == 2


@pytest.mark.parametrize(
    ("end", "complaint"),
    [
        (b"", "broke off"),
        (b'8\r\n{"task_i\r\n', "broke off"),
        (b'8\r\n{"task_i\r\n0\r\n\r\n', "ended within a line"),
    ],
)
@on(HurriedLoop)
async def test_a_list_that_breaks_is_not_begun_anew(end: bytes, complaint: str) -> None:
    requests = 0

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        line = json.dumps(TASK).encode() + b"\n"
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write((b"%x\r\n%s\r\n" % (len(line), line)) * 3 + end)

    async with listening(handle) as address, TaskClient(address) as tasks:
        listing = tasks.list()
        assert [(await anext(listing)).task_id for _ in range(3)] == ["a1"] * 3
        with pytest.raises(
            client.BrokenAnswerError, match=f"^the list of tasks {complaint}$"
        ):
            await anext(listing)
    assert requests == 1


@on(HurriedLoop)
async def test_a_list_is_never_held_as_a_whole() -> None:
    proceed = asyncio.Event()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await read_request(reader)
        line = json.dumps(TASK).encode() + b"\n"
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + line + line[:20])
        await asyncio.wait_for(proceed.wait(), 600)
        writer.write(line[20:])

    async with listening(handle) as address, TaskClient(address) as tasks:
        listing = tasks.list()
        assert (await anext(listing)).task_id == "a1"
        proceed.set()
        assert [task.task_id async for task in listing] == ["a1"]


@on(HurriedLoop)
async def test_who_leaves_a_list_early_hangs_up() -> None:
    hung_up = asyncio.Event()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await read_request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
            + json.dumps(TASK).encode()
            + b"\n"
        )
        assert await reader.read() == b""
        hung_up.set()

    async with listening(handle) as address, TaskClient(address) as tasks:
        async with contextlib.aclosing(tasks.list()) as listing:
            await anext(listing)
        await asyncio.wait_for(hung_up.wait(), 60)


# The file


def test_it_can_be_lifted_out() -> None:
    text = (project_root() / "taskmanager" / "client.py").read_text(encoding="utf-8")
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert "taskmanager" not in imported
    assert "." not in imported
    for path in (project_root() / "taskmanager").glob("*.py"):
        assert path.name == "client.py" or "client import" not in path.read_text(
            encoding="utf-8"
        )
