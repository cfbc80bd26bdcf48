"""The client is tested against the app and scripted servers.

Those tests are on virtual time. Others, over sockets that stall, break
and restart, are on a loop that hurries.
"""

import ast
import asyncio
import contextlib
import dataclasses
import functools
import gzip
import itertools
import json
import math
import random
import re
import selectors
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from types import MappingProxyType
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

TASK = {
    "task_id": "a1",
    "status": "queued",
    "version": 1,
    "finished_at": None,
}
NUMBERS = {"numbers": [1, 2, 3]}
ONE = {"numbers": [1]}
REPORT = {"title": "x", "sections": 20}
DONE = TASK | {
    "status": "completed",
    "version": 3,
    "finished_at": "2026-01-01T00:00:05.000Z",
    "result": {"sum": 6},
}


AsyncTest = Callable[..., Coroutine[Any, Any, None]]


# Time


class HurriedLoop(asyncio.SelectorEventLoop):
    """On this loop, a second takes 50 ms.

    It is for what needs real sockets and pauses.
    """

    SPEED = 20

    def __init__(self) -> None:
        super().__init__(_HurriedSelector())
        # Debug mode would triple what a request costs.
        self.set_debug(False)

    def time(self) -> float:
        return super().time() * self.SPEED


class _HurriedSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None:
            timeout /= HurriedLoop.SPEED
        return super().select(timeout)


def on(
    make_loop: Callable[[], Any],
) -> Callable[[AsyncTest], Callable[..., None]]:
    """Run a test on a loop of this kind, for at most an hour of it.

    A task that the test leaves behind fails it.
    """

    def decorate(test: AsyncTest) -> Callable[..., None]:
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
    """Chance always draws this fraction of what it may."""

    def __init__(self, fraction: float) -> None:
        super().__init__(0)
        self.fraction = fraction

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.fraction


# Servers


class Wire(httpx.AsyncBaseTransport):
    """Requests go to an app, from one address, and are written down.

    Each way may take up to ``latency`` seconds.
    """

    def __init__(self, app: FastAPI, latency: float = 0.0) -> None:
        self._inner = httpx.ASGITransport(app=app, client=("10.0.0.7", 1))
        self._latency = latency
        self._random = random.Random(7)
        # The statuses of the answers.
        self.answers: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._random.uniform(0, self._latency))

        response = await self._inner.handle_async_request(request)
        self.answers.append(response.status_code)

        await asyncio.sleep(self._random.uniform(0, self._latency))
        return response


class Script(httpx.AsyncBaseTransport):
    """A server answers with these, and with the last one for ever.

    Exceptions it raises. The others are JSON, or a status with JSON or
    bytes, headers, and the seconds that the answer takes.
    """

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        # When each request came.
        self.times: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(now())
        assert len(self.times) < 2000, "asked again and again"

        answer, *others = self._answers
        if others:
            self._answers = others
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, tuple):
            answer = (200, answer, {})

        status, body, headers, *seconds = answer
        await asyncio.sleep(sum(seconds))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, content=content, headers=headers)

    def client(self, fraction: float = 0.0) -> TaskClient:
        return TaskClient("http://test", transport=self, rng=Fraction(fraction))


def problem(
    status: int, code: str, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    document = {"code": code, "detail": "Why.", "status": status}
    return status, document, headers


def left(remaining: int, reset: int) -> dict[str, str]:
    return {"RateLimit": f'"default";r={remaining};t={reset}'}


def limited(remaining: int, reset: int, seconds: float = 0.0) -> Any:
    """Return a success with what is left, that takes some seconds."""
    return (
        200,
        TASK,
        left(remaining, reset),
        seconds,
    )


# What a server says that has no streams of events.
NO_STREAM = problem(404, "not_found")

SILENT: Any = (
    200,
    TASK,
    {},
    math.inf,
)


@contextlib.asynccontextmanager
async def client_of_app(
    latency: float = 0.0, **changes: Any
) -> AsyncIterator[tuple[TaskClient, Wire]]:
    """Yield a client of an app whose tasks take their time.

    By default, the app has no rate limit.
    """
    async with running(**{"work_scale": 1.0} | changes) as app:
        wire = Wire(app, latency)
        chance = random.Random(1)
        async with TaskClient("http://test", transport=wire, rng=chance) as tasks:
            yield tasks, wire


# Ten requests a minute

# In seconds.
DURATIONS = [
    5,
    11,
    17,
    24,
    30,
]


async def run_for(tasks: TaskClient, seconds: int, **options: Any) -> float:
    """Run a task that takes as long.

    Returns the seconds until its result was there.
    """
    start = now()

    if seconds == 5:
        result = await tasks.run("compute_sum", NUMBERS, **options)
        assert result == {"sum": 6}
    else:
        sections = seconds - 10
        parameters = {"title": "x", "sections": sections}
        result = await tasks.run("generate_report", parameters, **options)
        assert result["report"].count("## Section") == sections

    return now() - start


def in_time(took: list[float]) -> bool:
    """Tell whether each task of DURATIONS ended in its last second."""
    return all(
        seconds <= end < seconds + 1
        for seconds, end in zip(DURATIONS, took, strict=True)
    )


@on(VirtualLoop)
async def test_five_tasks_at_once_are_done_in_ten_requests() -> None:
    async with client_of_app(rate_limit=10) as (tasks, wire):
        took = await asyncio.gather(*(run_for(tasks, seconds) for seconds in DURATIONS))
        assert wire.answers == [202] * 5 + [200] * 5
        assert in_time(took), took


@on(VirtualLoop)
async def test_five_tasks_one_after_the_other_are_done_in_ten_requests() -> None:
    async with client_of_app(rate_limit=10) as (tasks, wire):
        took = [await run_for(tasks, seconds) for seconds in DURATIONS]
        assert wire.answers == [202, 200] * 5
        assert in_time(took), took


@on(VirtualLoop)
async def test_looking_early_leaves_requests_for_the_ends() -> None:
    seen: dict[str, list[str]] = defaultdict(list)

    def see(task: TaskRecord) -> None:
        seen[task.task_id].append(task.status)

    async with client_of_app(rate_limit=10) as (tasks, wire):
        await run_for(tasks, 30, progress=see)
        (statuses,) = seen.values()
        # The submission, and the stream that tells the rest.
        assert wire.answers == [202, 200]
        assert statuses == ["queued", *["processing"] * 30, "completed"]

        await asyncio.sleep(60)
        took = await asyncio.gather(
            *(run_for(tasks, seconds, progress=see) for seconds in DURATIONS)
        )
        assert 429 not in wire.answers
        assert in_time(took), took
        for first, *_, last in seen.values():
            assert first == "queued"
            assert last == "completed"


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
        # Fifty are needed. Some tasks are polled twice, since their
        # place in the queue was misjudged.
        assert len(wire.answers) <= 60
        assert now() < 60 * 5 + 20


@on(VirtualLoop)
async def test_two_programs_at_one_address_share_its_requests() -> None:
    async with running(work_scale=1.0, rate_limit=10) as app:
        here = Wire(app)
        there = Wire(app)
        async with (
            TaskClient("http://t", transport=here, rng=random.Random(1)) as one,
            TaskClient("http://t", transport=there, rng=random.Random(2)) as two,
        ):
            await asyncio.gather(
                *(run_for(tasks, 5, timeout=900) for tasks in (one, two) * 10)
            )

        # Neither can know of the other, so each may send what the
        # other was just granted. But both recover: of the twenty
        # requests that each needs, few are refused.
        assert here.answers.count(429) < 10
        assert there.answers.count(429) < 10


# When to come, and when to come again


@pytest.mark.parametrize(("fraction", "jitter"), [(0.0, 0.0), (1.0, 0.5)])
@on(VirtualLoop)
async def test_a_reset_of_a_second_is_waited_for(
    fraction: float, jitter: float
) -> None:
    script = Script(limited(0, 1), TASK)
    async with script.client(fraction) as tasks:
        for _ in range(2):
            await tasks.get("a1")
    assert script.times == [0, 1 + jitter]


@on(VirtualLoop)
async def test_requests_stop_before_they_are_refused() -> None:
    script = Script(
        limited(1, 40),
        limited(0, 30),
        limited(9, 60),
    )
    async with script.client(fraction=1.0) as tasks:
        for _ in range(12):
            await tasks.get("a1")
    assert script.times == [0, 0] + [30.5] * 10


@on(VirtualLoop)
async def test_a_reset_is_counted_from_the_answer() -> None:
    # Nobody knows when the request arrived.
    script = Script(limited(0, 60, seconds=5))
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
    script = Script(
        limited(1, 60),
        (502, b"", {}),
        limited(9, 60),
    )
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
    second: tuple[int, int],
    third: tuple[int, int],
    fourth: tuple[int, int],
) -> None:
    """Three requests are left, after the first.

    Each answer tells what is left then, and comes so many seconds late.
    """
    late = [
        limited(remaining, 60, seconds=seconds)
        for remaining, seconds in (second, third, fourth)
    ]
    script = Script(limited(3, 60), *late)
    async with script.client() as tasks:
        await tasks.get("a1")

        both = asyncio.gather(tasks.get("a1"), tasks.get("a1"))
        await asyncio.sleep(2)
        last = asyncio.create_task(tasks.get("a1"))
        await both

        # This is one too many, whatever the answers said.
        await asyncio.gather(last, tasks.get("a1"))

    *granted, refused = script.times
    assert granted == [
        0,
        0,
        0,
        2,
    ]
    assert refused >= 60


@on(VirtualLoop)
async def test_a_429_is_believed_whatever_it_has_overtaken() -> None:
    script = Script(
        limited(9, 60),
        limited(8, 60, seconds=5),
        (429, {}, left(0, 30), 1),
        limited(9, 60),
    )
    async with script.client() as tasks:
        await tasks.get("a1")
        await asyncio.gather(tasks.get("a1"), tasks.get("a1"))
    assert script.times == [0, 0, 0, 31]


@on(VirtualLoop)
async def test_a_request_alone_counts_those_that_may_arrive_after_it() -> None:
    script = Script(
        limited(1, 5),
        limited(3, 60, seconds=9),
        limited(3, 60),
        limited(0, 60),
    )
    async with script.client() as tasks:
        await tasks.get("a1")
        await asyncio.sleep(10)
        slow = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(1)

        # This one goes alone: three are left, and the slow one may
        # still be on its way.
        await tasks.get("a1")
        await asyncio.gather(slow, *(tasks.get("a1") for _ in range(3)))

    *granted, refused = script.times
    assert granted == [
        0,
        10,
        11,
        11,
        11,
    ]
    assert refused >= 71


@on(VirtualLoop)
async def test_a_long_poll_has_been_counted() -> None:
    script = Script(
        limited(3, 60),
        limited(2, 60, seconds=20),
        limited(9, 1),
    )
    async with script.client() as tasks:
        await tasks.get("a1")
        poll = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(5)

        for _ in range(10):
            await tasks.get("a1")
        assert now() == 5

        await poll


class LongPolls(Script):
    """A server answers a long poll after ten seconds."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if "wait" in request.url.params:
            await asyncio.sleep(10)
        return response


@pytest.mark.parametrize("before", [[], [limited(0, 60)]])
@on(VirtualLoop)
async def test_nobody_waits_for_a_long_poll_that_goes_first(before: list[Any]) -> None:
    """With nothing known, or after a reset, one request goes alone."""
    script = LongPolls(*before, limited(9, 60))
    async with script.client() as tasks:
        for _ in before:
            await tasks.get("a1")
        start = 60 * len(before)

        polling = asyncio.create_task(tasks.wait(TaskRecord(**TASK)))
        await asyncio.sleep(0)
        await asyncio.gather(*(tasks.get("a1") for _ in range(5)))
        assert now() == start

        # It looked, as the one that went alone, and polls now.
        await asyncio.sleep(1)
        first, *_ = script.requests[len(before) :]
        assert first.url.raw_path == b"/tasks/a1?since=2"
        assert script.requests[-1].url.raw_path == b"/tasks/a1?wait=true&since=2"

        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


@on(VirtualLoop)
async def test_nobody_waits_for_long_for_a_request_that_goes_alone() -> None:
    script = Script(limited(9, 60, seconds=25), limited(8, 60))
    async with script.client() as tasks:
        slow = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(0)

        await asyncio.gather(*(tasks.get("a1") for _ in range(5)))
        assert script.times == [0, 2, 2, 2, 2, 2]
        await slow


@on(VirtualLoop)
async def test_a_late_answer_to_a_request_that_went_alone_grants_nothing() -> None:
    script = Script(
        limited(9, 600, seconds=25),
        limited(2, 600),
        limited(1, 600),
        limited(0, 600),
        limited(9, 600),
    )
    async with script.client() as tasks:
        slow = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(0)
        for _ in range(3):
            await tasks.get("a1")
        await slow

        await tasks.get("a1", timeout=900)
    *_, last = script.times
    assert last >= 600


@pytest.mark.parametrize("failure", [httpx.ConnectError("no"), (502, b"", {})])
@on(VirtualLoop)
async def test_a_request_that_goes_alone_and_fails_lets_the_next_go(
    failure: Any,
) -> None:
    script = Script(failure, limited(9, 60))
    async with script.client(fraction=1.0) as tasks:
        failing = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(0)
        await tasks.get("a1")
        assert now() == 0
        await failing


@on(VirtualLoop)
async def test_who_is_cancelled_while_it_goes_alone_lets_the_next_go() -> None:
    script = Script(SILENT, limited(9, 60))
    async with script.client() as tasks:
        alone = asyncio.create_task(tasks.get("a1"))
        await asyncio.sleep(1)
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)

        await tasks.get("a1")
        assert now() == 1


@on(VirtualLoop)
async def test_who_waits_for_a_turn_waits_no_longer_than_its_deadline() -> None:
    script = Script(limited(0, 60))
    async with script.client() as tasks:
        await tasks.get("a1")
        patient = asyncio.create_task(tasks.get("a1"))

        with pytest.raises(client.DeadlineExceededError):
            await tasks.get("a1", timeout=5)
        assert now() == 5

        await patient
        assert script.times == [0, 60]


@pytest.mark.parametrize(("fraction", "jitter"), [(0.0, 0.0), (1.0, 0.5)])
@pytest.mark.parametrize(
    "answer",
    [
        problem(429, "rate_limited"),
        problem(503, "queue_full"),
        (502, b"<html>", {}),
    ],
)
@on(VirtualLoop)
async def test_a_refusal_is_repeated_when_it_says(
    answer: Any, fraction: float, jitter: float
) -> None:
    status, body, _ = answer
    script = Script((status, body, {"Retry-After": "17"}), (202, TASK, {}))
    async with script.client(fraction) as tasks:
        await tasks.submit("compute_sum", ONE)
    assert script.times == [0, 17 + jitter]


# On virtual time, it is midnight at first.
DATES = [
    "Thu, 01 Jan 2026 00:00:17 GMT",
    "Thursday, 01-Jan-26 00:00:17 GMT",
    "Thu Jan  1 00:00:17 2026",
    "Thu, 01 Jan 2026 01:00:17 +0100",
]
UNREADABLE = [
    "soon",
    "",
    "-5",
    "+5",
    "1_0",
    "1e1",
    "nan",
    "inf",
    "5 s",
    "\u0665",
    "Thu, 01 Jan 2026",
    "Thu, 31 Feb 2026 00:00:17 GMT",
    "Fri, 31 Dec 9999 23:59:59 -0500",
    "Thu, 01 Jan 99999999999 00:00:17 GMT",
]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17),
        ("2.5", 2.5),
        ("0.0", 0),
        *((date, 17) for date in DATES),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0),
        *((text, 0) for text in UNREADABLE),
    ],
)
@on(VirtualLoop)
async def test_retry_after_is_a_number_or_a_date(text: str, seconds: float) -> None:
    when = {"Retry-After": text.encode()}
    script = Script((503, b"", when), (202, TASK, when))
    async with script.client() as tasks:
        task = await tasks.submit("compute_sum", ONE)
    assert script.times == [0, seconds]

    # A date stays the same date.
    since_then = 0 if "2026" in text or "-26" in text else seconds
    assert task.expected_at == seconds + since_then


@pytest.mark.parametrize("hour", ["00", "09"])
@on(VirtualLoop)
async def test_a_date_is_one_of_the_servers_clock(hour: str) -> None:
    ahead = {
        "Date": f"Thu, 01 Jan 2026 {hour}:59:50 GMT",
        "Retry-After": f"Thu, 01 Jan 2026 {hour}:59:55 GMT",
    }
    script = Script((429, b"", ahead), TASK)
    async with script.client() as tasks:
        await tasks.get("a1")
    assert script.times == [0, 5]


@on(VirtualLoop)
async def test_a_refusal_for_want_of_requests_is_repeated_when_it_says() -> None:
    refused = problem(429, "rate_limited", **{"Retry-After": "55"} | left(0, 55))
    script = Script(refused, limited(9, 60))
    async with script.client(fraction=1.0) as tasks:
        await tasks.get("a1")
    assert script.times == [0, 55.5]


@on(VirtualLoop)
async def test_a_task_is_polled_when_it_should_be_finished() -> None:
    script = Script((202, TASK, {"Retry-After": "5"}), DONE)
    async with script.client(fraction=1.0) as tasks:
        assert await tasks.run("compute_sum", NUMBERS) == {"sum": 6}
    assert script.times == [0, 5.5]

    _, poll = script.requests
    assert poll.url.raw_path == b"/tasks/a1?wait=true&since=2"


@on(VirtualLoop)
async def test_a_task_that_is_due_is_polled_at_once() -> None:
    script = Script(TASK, DONE)
    async with script.client() as tasks:
        await tasks.wait("a1")
    assert script.times == [0, 0]


@on(VirtualLoop)
async def test_who_wants_to_see_progress_polls_at_once() -> None:
    accepted = (202, TASK, {"Retry-After": "5"} | left(9, 60))
    script = Script(accepted, NO_STREAM, DONE)
    async with script.client() as tasks:
        await tasks.run("compute_sum", NUMBERS, progress=lambda _: None)
    assert script.times == [0, 0, 0]


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
        result = await tasks.run("compute_sum", NUMBERS, timeout=60)
        assert result == {"sum": 6}
    assert script.times == [0, 0]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("no"),
        (503, b"", {"Retry-After": "soon"}),
        (500, b"", {}),
    ],
)
@on(VirtualLoop)
async def test_pauses_double_up_to_a_bound(answer: Any) -> None:
    script = Script(*[answer] * 9, TASK)
    async with script.client(fraction=1.0) as tasks:
        await tasks.get("a1")

    pauses = [after - before for before, after in itertools.pairwise(script.times)]
    assert pauses == [
        0.5,
        1,
        2,
        4,
        8,
        16,
        20,
        20,
        20,
    ]


@on(VirtualLoop)
async def test_pauses_are_drawn_from_the_whole_of_their_bound() -> None:
    pauses = []
    for seed in range(200):
        script = Script(httpx.ReadError("gone"), TASK)
        chance = random.Random(seed)
        async with TaskClient("http://test", transport=script, rng=chance) as tasks:
            await tasks.get("a1")
        first, second = script.times
        pauses.append(second - first)

    assert 0 <= min(pauses) < 0.05
    assert 0.45 < max(pauses) <= 0.5


@on(VirtualLoop)
async def test_without_a_deadline_a_server_is_tried_for_ever() -> None:
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
    httpx.RemoteProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
]
TRANSIENT_STATUSES = [
    408,
    425,
    429,
    500,
    502,
    503,
    504,
]
CALLS = {
    "submit": lambda tasks: tasks.submit("compute_sum", ONE),
    "get": lambda tasks: tasks.get("a1"),
    "cancel": lambda tasks: tasks.cancel("a1"),
    "wait": lambda tasks: tasks.wait(TaskRecord(**TASK, expected_at=0.0)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        *(kind("gone") for kind in LOST),
        *((status, b"", {}) for status in TRANSIENT_STATUSES),
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
        assert other.method == first.method
        assert other.url == first.url
        assert other.content == first.content
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
    assert len(script.requests) == 1

    status, body, _ = answer
    members = body if isinstance(body, dict) else {}
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.code == members.get("code", "unknown")
    assert caught.value.detail == members.get("detail", "")


LATE = {"code": "timeout", "message": "Late."}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "502 unknown:"),
        ({"code": "x", "detail": "Why."}, "502 x: Why."),
        ({"code": "x", "detail": "Why.", "errors": [7]}, "502 x: Why. [7]"),
    ],
)
def test_a_refusal_has_a_message(members: Any, message: str) -> None:
    assert str(client.ProblemError(502, members)) == message


def test_an_exceeded_deadline_names_the_last_failure_if_any() -> None:
    silent = client.DeadlineExceededError("GET /tasks/a1", "a1")
    assert str(silent) == "no answer in time: GET /tasks/a1"

    refused = client.DeadlineExceededError("POST /tasks", last=ValueError("no"))
    assert str(refused) == "no answer in time: POST /tasks (the last: no)"


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (problem(404, "task_not_found"), client.TaskNotFoundError),
        (DONE | {"status": "failed", "error": LATE}, client.TaskFailedError),
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
            await tasks.run("compute_sum", ONE)
    assert [request.method for request in script.requests] == ["POST", "GET"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "error",
    [
        httpx.UnsupportedProtocol,
        httpx.LocalProtocolError,
        httpx.TooManyRedirects,
        httpx.InvalidURL,
        httpx.StreamError,
    ],
)
@on(VirtualLoop)
async def test_what_cannot_be_sent_is_not_repeated(
    call: str, error: type[Exception]
) -> None:
    script = Script(error("never"))
    async with script.client() as tasks:
        with pytest.raises(
            client.RequestFailedError, match=r"^no request: never$"
        ) as caught:
            await CALLS[call](tasks)
    assert isinstance(caught.value.__cause__, error)
    assert len(script.requests) == 1


@on(VirtualLoop)
async def test_an_id_too_long_for_a_url_is_not_sent() -> None:
    script = Script(TASK)
    async with script.client() as tasks:
        with pytest.raises(client.RequestFailedError):
            await tasks.get("x" * 70_000)
    assert script.requests == []


BROKEN_GZIP = (200, b"this is no gzip", {"Content-Encoding": "gzip"})
BROKEN_REFUSAL = (503, b"neither is this", {"Content-Encoding": "gzip"})


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("broken", [BROKEN_GZIP, BROKEN_REFUSAL])
@on(VirtualLoop)
async def test_an_answer_that_cannot_be_decoded_is_asked_for_twice(
    call: str, broken: Any
) -> None:
    script = Script(broken, DONE)
    async with script.client() as tasks:
        assert (await CALLS[call](tasks)).status == "completed"
    assert len(script.requests) == 2

    script = Script(broken)
    async with script.client() as tasks:
        with pytest.raises(client.BrokenAnswerError, match=r"^no answer: ") as caught:
            await CALLS[call](tasks)
    assert isinstance(caught.value.__cause__, httpx.DecodingError)
    assert len(script.requests) == 2


@on(VirtualLoop)
async def test_answers_that_cannot_be_decoded_may_come_now_and_then() -> None:
    lost = httpx.ReadError("gone")
    script = Script(*[BROKEN_GZIP, lost] * 5, TASK)
    async with script.client() as tasks:
        await tasks.get("a1")
    assert len(script.requests) == 11


@on(VirtualLoop)
async def test_the_timeout_of_a_run_is_that_of_its_submission_too() -> None:
    script = Script(problem(503, "queue_full", **{"Retry-After": "2"}))
    async with script.client() as tasks:
        with pytest.raises(client.DeadlineExceededError) as caught:
            await tasks.run("compute_sum", ONE, timeout=5)
    assert now() == 5
    # Nobody knows whether it has arrived.
    assert caught.value.key is not None


@on(VirtualLoop)
async def test_each_submission_has_a_key_of_its_own() -> None:
    script = Script((202, TASK, {}))
    async with script.client() as tasks:
        for _ in range(3):
            await tasks.submit("compute_sum", ONE)
        await tasks.submit("compute_sum", {}, key='say "hi" \\')

    *fresh, own = [request.headers["Idempotency-Key"] for request in script.requests]
    assert len(set(fresh)) == 3
    for key in fresh:
        assert re.fullmatch('"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"', key)
    assert own == r'"say \"hi\" \\"'


@on(VirtualLoop)
async def test_parameters_are_one_mapping_apart_from_the_options() -> None:
    parameters = {
        "timeout": 1,
        "priority": 2,
        "key": "3",
        "progress": 4,
        "self": 5,
        "task_type": 6,
        "parameters": 7,
        "keywords": 8,
    }
    script = Script((202, DONE, {}))
    async with script.client() as tasks:
        await tasks.submit("x", parameters, priority="high", timeout=9, key="k")
        await tasks.run("x", MappingProxyType(parameters), priority="low")
        await tasks.submit("x")

    first, second, third = script.requests
    assert first.headers["Idempotency-Key"] == '"k"'
    assert json.loads(first.content) == {
        "task_type": "x",
        "parameters": parameters,
        "priority": "high",
    }
    assert json.loads(second.content) == {
        "task_type": "x",
        "parameters": parameters,
        "priority": "low",
    }
    assert json.loads(third.content) == {
        "task_type": "x",
        "parameters": {},
        "priority": "normal",
    }


def see(task: TaskRecord) -> None: ...


@pytest.mark.parametrize(
    ("call", "line"),
    [
        pytest.param(
            lambda tasks: tasks.run("compute_sum", numbers=[1, 2, 3], timeout=60),
            'client.run("compute_sum", {"numbers": [1, 2, 3]}, timeout=60)',
            id="keywords",
        ),
        pytest.param(
            lambda tasks: tasks.submit(
                "generate_report", title='"x"', sections=5, priority="high", key="k"
            ),
            'client.submit("generate_report", {"title": "\\"x\\"", "sections": 5},'
            ' priority="high", key="k")',
            id="texts",
        ),
        pytest.param(
            lambda tasks: tasks.submit("x", {"a": 1, "b": None}, a=True),
            'client.submit("x", {"a": True, "b": None})',
            id="both",
        ),
        pytest.param(
            lambda tasks: tasks.run("x", n=[7] * 1000, progress=see, timeout=300.0),
            'client.run("x", {"n": ...}, progress=...)',
            id="what is too long, or has no literal",
        ),
        pytest.param(
            lambda tasks: tasks.run("x", {"a": 1}, 60),
            'client.run("x", {"a": 1}, timeout=60)',
            id="an option by position",
        ),
        pytest.param(
            lambda tasks: tasks.submit("x", {"a": 1}, "high", 6.5, key="k"),
            'client.submit("x", {"a": 1}, priority="high", key="k", timeout=6.5)',
            id="options by position",
        ),
        pytest.param(
            lambda tasks: tasks.run("x", {}, 60, b=2),
            'client.run("x", {"b": 2}, timeout=60)',
            id="a keyword, and an option by position",
        ),
        pytest.param(
            lambda tasks: tasks.run("x", a=1, priority="low", key="k", timeout=7),
            'client.run("x", {"a": 1}, priority="low", key="k", timeout=7)',
            id="all options of run by name",
        ),
        pytest.param(
            lambda tasks: tasks.submit("x", a=1, timeout=7),
            'client.submit("x", {"a": 1}, timeout=7)',
            id="a timeout by name",
        ),
    ],
)
@on(VirtualLoop)
async def test_the_old_way_of_calling_says_what_to_write(call: Any, line: str) -> None:
    script = Script((202, DONE, {}))
    async with script.client() as tasks:
        with pytest.raises(TypeError, match=f": write {re.escape(line)}$"):
            await call(tasks)
        assert script.requests == []

        # Whoever writes this line has a call that works.
        call_as_written = line.replace("...", "None")
        await eval(call_as_written, {"client": tasks})  # noqa: S307
        assert len(script.requests) == 1


@on(VirtualLoop)
async def test_the_old_way_of_calling_names_what_is_no_option() -> None:
    async with Script(TASK).client() as tasks:
        with pytest.raises(TypeError) as caught:
            await tasks.run("x", a=1, timout=60)
        assert str(caught.value) == (
            "no option of client.run: a, timout. Parameters are one mapping, and "
            'options have names: write client.run("x", {"a": 1, "timout": 60})'
        )

        with pytest.raises(TypeError, match=r"^no option of client\.run: 60, a\. "):
            await tasks.run("x", {}, 60, a=1)


@pytest.mark.parametrize(
    "parameters",
    [
        [1, 2, 3],
        "ab",
        [("a", 1)],
        0,
        None,
    ],
)
@on(VirtualLoop)
async def test_parameters_that_are_no_mapping_are_not_sent(parameters: Any) -> None:
    script = Script(TASK)
    async with script.client() as tasks:
        for call in (tasks.run, tasks.submit):
            with pytest.raises(TypeError, match=r"^parameters are one mapping, not "):
                await call("x", parameters)
            with pytest.raises(TypeError, match=r"^parameters are one mapping, not "):
                await call("x", parameters, 60, a=1)
    assert script.requests == []


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (math.nan, ValueError, "not JSON compliant"),
        ({1, 2}, TypeError, "not JSON serializable"),
        (b"a", TypeError, "not JSON serializable"),
        pytest.param(10**5000, ValueError, "Exceeds the limit", id="long"),
    ],
)
@on(VirtualLoop)
async def test_what_has_no_json_is_not_sent(
    value: Any, error: type[Exception], message: str
) -> None:
    script = Script(TASK)
    async with script.client() as tasks:
        with pytest.raises(error, match=message):
            await tasks.submit("x", {"a": value})
    assert script.requests == []


@on(VirtualLoop)
async def test_half_a_surrogate_pair_is_for_the_server_to_refuse() -> None:
    script = Script((400, {"code": "invalid_request"}, {}))
    async with script.client() as tasks:
        with pytest.raises(client.InvalidRequestError):
            await tasks.submit("x", {"a": "\ud800", "b": "\xe9"})
    (request,) = script.requests
    assert json.loads(request.content)["parameters"] == {"a": "\ud800", "b": "\xe9"}
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"key": "\xfc"}, ValueError, 'key is 1 to 255 ASCII characters, not "\xfc"'),
        ({"key": "a\n"}, ValueError, r'key is .*, not "a\\n"'),
        ({"key": "\x7f"}, ValueError, "key is "),
        ({"key": ""}, ValueError, 'key is .*, not ""'),
        ({"key": "k" * 256}, ValueError, r"key is .*, not \.\.\."),
        ({"key": 7}, TypeError, "key is .*, not 7"),
        ({"key": b"k"}, TypeError, "key is "),
        ({"timeout": None}, TypeError, "timeout is a number of seconds, not None"),
        ({"timeout": "9"}, TypeError, 'timeout is a number of seconds, not "9"'),
        ({"timeout": math.nan}, ValueError, "timeout is a number of .*, not nan"),
        ({"progress": 5}, TypeError, "progress is a function, not 5"),
    ],
)
@on(VirtualLoop)
async def test_odd_options_are_not_sent(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    script = Script(DONE)
    async with script.client() as tasks:
        with pytest.raises(error, match=f"^{message}"):
            await tasks.run("compute_sum", ONE, **arguments)

        if "progress" not in arguments:
            with pytest.raises(error, match=f"^{message}"):
                await tasks.submit("compute_sum", ONE, **arguments)
        if "key" not in arguments:
            with pytest.raises(error, match=f"^{message}"):
                await tasks.wait("a1", **arguments)
        if "timeout" in arguments:
            for call in (tasks.get, tasks.cancel):
                with pytest.raises(error, match=f"^{message}"):
                    await call("a1", **arguments)
            with pytest.raises(error, match=f"^{message}"):
                await anext(tasks.list(**arguments))
    assert script.requests == []


@pytest.mark.parametrize(
    ("task_id", "error"),
    [
        ("", ValueError),
        (".", ValueError),
        ("..", ValueError),
        ("a\ud800", ValueError),
        (None, TypeError),
        (7, TypeError),
        (TASK, TypeError),
    ],
)
@on(VirtualLoop)
async def test_odd_ids_are_not_sent(task_id: Any, error: type[Exception]) -> None:
    script = Script(DONE)
    async with script.client() as tasks:
        for call in (tasks.get, tasks.cancel, tasks.wait):
            what = r"(task_id is the id of a task|task is a TaskRecord or an id)"
            with pytest.raises(error, match=f"^{what}, not ") as why:
                await call(task_id)
            # Whoever catches it can print it.
            assert str(why.value).encode()
    assert script.requests == []


@pytest.mark.parametrize("key", [" ", "~", 'a"b', "k" * 255])
@pytest.mark.parametrize("timeout", [5, 5.0, True, math.inf])
@on(VirtualLoop)
async def test_what_is_not_odd_is_sent(key: str, timeout: float) -> None:
    script = Script((202, DONE, {}))
    async with script.client() as tasks:
        await tasks.run("compute_sum", ONE, key=key, timeout=timeout, progress=None)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("base_url", "error"),
    [
        ("localhost:8000", ValueError),
        ("", ValueError),
        ("http://", ValueError),
        ("http://:8000", ValueError),
        ("http://localhost:http", ValueError),
        ("http://localhost:99999", ValueError),
        ("http://[localhost]", ValueError),
        ("http://localhost/\n", ValueError),
        ("http://\ud800", ValueError),
        ("http://us\x7fer@localhost", ValueError),
        ("http://localhost/jobs?key=1", ValueError),
        ("http://[::1", ValueError),
        ("ftp://localhost", ValueError),
        (httpx.URL("//localhost"), ValueError),
        (None, TypeError),
        (8000, TypeError),
    ],
)
def test_a_client_needs_the_url_of_a_server(
    base_url: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"^base_url is like http://host:80, not "):
        TaskClient(base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://localhost",
        "HTTPS://user:word@example.org:443/api/",
        "http://[::1]:8000",
        "http://[fe80::1%25eth0]:65535/a b",
        "http://bücher.example",
        httpx.URL("http://localhost:8000"),
    ],
)
@on(VirtualLoop)
async def test_a_client_takes_the_url_of_a_server(base_url: Any) -> None:
    script = Script(TASK)
    async with TaskClient(base_url, transport=script) as tasks:
        await tasks.get("a1")
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"3",
        b"<html>",
        b'{"a": 1}',
        b"\xff",
        b'{"task_id": "a1"',
    ],
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
async def test_an_answer_too_deep_to_be_read_is_broken() -> None:
    async with Script(b"[" * 100_000).client() as tasks:
        with pytest.raises(client.BrokenAnswerError, match=r"^this is no task: "):
            await tasks.get("a1")


@pytest.mark.parametrize("missing", TASK)
@on(VirtualLoop)
async def test_an_answer_without_what_every_task_has_is_broken(missing: str) -> None:
    members = {name: value for name, value in DONE.items() if name != missing}
    async with Script(members).client() as tasks:
        with pytest.raises(client.BrokenAnswerError, match=r"^this is no task: "):
            await tasks.get("a1")


@on(VirtualLoop)
async def test_what_a_newer_server_adds_is_left_out() -> None:
    newer = DONE | {
        "owner": "me",
        "expected_at": "soon",
        "self": 1,
        "slots": [],
    }
    lines = json.dumps(newer).encode() + b"\n"
    async with Script(newer, lines).client() as tasks:
        task = await tasks.get("a1")
        assert await tasks.wait(task) is task
        assert [each async for each in tasks.list()] == [
            dataclasses.replace(task, expected_at=0.0)
        ]
    assert task == TaskRecord(**DONE, expected_at=now())


def test_a_record_stands_for_what_an_answer_leaves_out() -> None:
    assert dataclasses.asdict(TaskRecord(**TASK)) == TASK | {
        "task_type": "",
        "parameters": {},
        "priority": "normal",
        "progress": 0,
        "queue_position": None,
        "result": None,
        "error": None,
        "created_at": "",
        "started_at": None,
        "expected_at": 0.0,
    }


@on(VirtualLoop)
async def test_a_record_has_each_member_of_a_task_and_does_not_change() -> None:
    async with client_of_app() as (tasks, wire):
        task = await tasks.submit("compute_sum", NUMBERS)
        async with httpx.AsyncClient(transport=wire, base_url="http://test") as web:
            answer = await web.get(f"/tasks/{task.task_id}")

    fields = {field.name for field in dataclasses.fields(task)}
    assert fields == answer.json().keys() | {"expected_at"}
    assert task.task_type == "compute_sum"
    assert task.parameters == {"numbers": [1, 2, 3]}
    assert task.expected_at == 5
    assert not hasattr(task, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.status = "completed"


@on(VirtualLoop)
async def test_an_id_cannot_lead_elsewhere() -> None:
    script = Script(TASK)
    async with script.client() as tasks:
        await tasks.get("../health?x=#")
    (request,) = script.requests
    assert request.url.raw_path == b"/tasks/..%2Fhealth%3Fx%3D%23"


# Deadlines


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        SILENT,
        httpx.ConnectError("no"),
        problem(503, "queue_full"),
    ],
)
@on(VirtualLoop)
async def test_the_default_deadline(call: str, answer: Any) -> None:
    async with Script(answer).client(0.5) as tasks:
        with pytest.raises(client.DeadlineExceededError) as caught:
            await CALLS[call](tasks)
    assert now() == client.TIMEOUT == 300

    task_id = "" if call == "submit" else "a1"
    assert caught.value.task_id == task_id

    cause = caught.value.__cause__
    match answer:
        case Exception():
            assert cause is answer
        case (503, *_):
            assert isinstance(cause, client.ProblemError)
            assert cause.code == "queue_full"
        case _:
            assert cause is None


@pytest.mark.parametrize(
    "timeout",
    [
        0.0,
        -1.0,
        3.0,
        7.0,
        20.0,
        29.9,
    ],
)
@on(VirtualLoop)
async def test_the_callers_deadline_covers_all_of_a_run(timeout: float) -> None:
    async with client_of_app() as (tasks, _):
        task = await tasks.submit("generate_report", REPORT, key="k")
        start = now()

        with pytest.raises(
            client.DeadlineExceededError,
            match=r"^no answer in time: (GET /tasks/|POST /tasks \(sent )",
        ) as caught:
            await tasks.run("generate_report", REPORT, key="k", timeout=timeout)
        assert now() - start == pytest.approx(max(timeout, 0))
        assert caught.value.task_id in ("", task.task_id)

        # The task goes on.
        task = await tasks.get(task.task_id)
        assert task.status == "processing"
        task = await tasks.wait(task.task_id)
        assert task.result["title"] == "x"


@on(VirtualLoop)
async def test_what_the_submission_takes_is_not_left_for_the_wait() -> None:
    script = Script(
        problem(503, "queue_full", **{"Retry-After": "20"}),
        (202, TASK, {}),
        SILENT,
    )
    async with script.client() as tasks:
        with pytest.raises(client.DeadlineExceededError):
            await tasks.run("compute_sum", ONE, timeout=30)
        assert now() == 30


@pytest.mark.parametrize("key", [None, 'my "key"'])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (SILENT, client.DeadlineExceededError),
        (httpx.ConnectError("no"), client.DeadlineExceededError),
        (problem(503, "queue_full"), client.DeadlineExceededError),
        (BROKEN_GZIP, client.BrokenAnswerError),
        (b'{"task_id": "a1"', client.BrokenAnswerError),
    ],
)
@on(VirtualLoop)
async def test_who_learns_no_task_learns_the_key(
    answer: Any, error: type[client.TaskClientError], key: str | None
) -> None:
    for method in ("run", "submit"):
        script = Script(answer)
        async with script.client(0.5) as tasks:
            with pytest.raises(error) as caught:
                await getattr(tasks, method)("compute_sum", ONE, key=key, timeout=9)

        sent = {request.headers["Idempotency-Key"] for request in script.requests}
        assert sent == {json.dumps(caught.value.key)}
        if key is not None:
            assert caught.value.key == key
        assert str(caught.value).endswith(
            f" (sent with the key {json.dumps(caught.value.key)})"
        )


@on(VirtualLoop)
async def test_the_key_that_was_learnt_finds_the_task() -> None:
    async with client_of_app() as (tasks, wire):
        with pytest.raises(client.DeadlineExceededError) as caught:
            await tasks.submit("compute_sum", ONE, timeout=0)
        key = caught.value.key
        assert caught.value.task_id == ""
        assert wire.answers == []

        first = await tasks.submit("compute_sum", ONE, key=key)
        again = await tasks.submit("compute_sum", ONE, key=key)
        assert again.task_id == first.task_id


@on(VirtualLoop)
async def test_only_a_submission_has_a_key() -> None:
    script = Script((202, TASK, {}), SILENT)
    async with script.client() as tasks:
        with pytest.raises(client.DeadlineExceededError) as caught:
            await tasks.run("compute_sum", ONE, timeout=9)
    assert caught.value.task_id == "a1"
    assert caught.value.key is None

    async with Script(problem(400, "invalid_request")).client() as tasks:
        with pytest.raises(client.InvalidRequestError) as refused:
            await tasks.submit("compute_sum", {})
    assert refused.value.key is None


@on(VirtualLoop)
async def test_silence_is_longer_than_the_longest_long_poll_but_not_endless() -> None:
    script = Script(TASK)
    async with script.client() as tasks:
        await tasks.get("a1")

    (request,) = script.requests
    silence = request.extensions["timeout"]
    assert 2 * settings().wait_timeout < silence["read"] < 60
    assert silence["connect"] < 60
    # Whoever waits for a connection of our own has lost nothing.
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
        await tasks.run("generate_report", REPORT, progress=seen.append)
        first, *others, last = seen
        assert first.status == "queued"
        assert {task.status for task in others} == {"processing"}
        assert last.status == "completed"
        # None twice, and none left out.
        steps = [task.progress for task in seen]
        assert steps == [0, *(100 * second // 30 for second in range(30)), 100]

        seen.clear()
        task = await tasks.submit("compute_sum", ONE)
        await tasks.wait(task.task_id, progress=seen.append)
        assert {each.task_id for each in seen} == {task.task_id}
        versions = [each.version for each in seen]
        assert versions == sorted(versions)
        assert {2, 3} <= set(versions)


def events(*tasks: dict[str, Any], end: bytes = b"") -> Any:
    """A stream that tells these states."""
    told = [b"id: x\r\ndata: %b\n\n:\n\n" % json.dumps(each).encode() for each in tasks]
    return 200, b"".join(told) + end, {"Content-Type": "text/event-stream"}


@on(VirtualLoop)
async def test_progress_takes_one_request_where_there_is_a_stream() -> None:
    seen: list[TaskRecord] = []
    half = TASK | {"status": "processing", "version": 2, "progress": 50}
    script = Script((202, TASK, {}), events(TASK, half, DONE | {"progress": 100}))
    async with script.client() as tasks:
        result = await tasks.run("compute_sum", NUMBERS, progress=seen.append)
    assert result == {"sum": 6}
    assert [task.progress for task in seen] == [0, 50, 100]
    assert [request.url.path for request in script.requests] == [
        "/tasks",
        "/tasks/a1/events",
    ]


@pytest.mark.parametrize(
    "stream",
    [
        problem(404, "not_found"),
        problem(405, "method_not_allowed"),
        problem(503, "too_many_streams"),
        events(),
        events(TASK),
        events(TASK, end=b"data: {"),
        events(TASK, end=b"data: {}\n\n"),
        (200, b"<p>hello</p>", {"Content-Type": "text/html"}),
    ],
    ids=itertools.count(),
)
@on(VirtualLoop)
async def test_where_there_is_no_stream_or_it_breaks_off_there_are_polls(
    stream: Any,
) -> None:
    seen: list[str] = []
    script = Script((202, TASK, {}), stream, TASK, DONE)
    async with script.client() as tasks:
        await tasks.run(
            "compute_sum", NUMBERS, progress=lambda task: seen.append(task.status)
        )
    paths = [request.url.path for request in script.requests]
    assert paths == ["/tasks", "/tasks/a1/events", "/tasks/a1", "/tasks/a1"]
    assert seen == ["queued", "queued", "completed"]
    # Each waits for any change.
    *_, poll, last_poll = script.requests
    assert poll.url.query == last_poll.url.query == b"wait=true&since=1"


@on(VirtualLoop)
async def test_a_stream_that_begins_with_what_is_known_says_nothing_twice() -> None:
    seen: list[int] = []
    half = TASK | {"status": "processing", "version": 2, "progress": 50}
    script = Script(events(half, half | {"progress": 60}, DONE | {"progress": 100}))
    async with script.client() as tasks:
        await tasks.wait(
            TaskRecord(**half), progress=lambda task: seen.append(task.progress)
        )
    assert seen == [50, 60, 100]


@on(VirtualLoop)
async def test_without_progress_there_is_no_stream() -> None:
    script = Script((202, TASK, {}), DONE)
    async with script.client() as tasks:
        await tasks.run("compute_sum", NUMBERS)
    assert [request.url.path for request in script.requests] == ["/tasks", "/tasks/a1"]


@on(HurriedLoop)
async def test_a_stream_that_goes_on_ends_at_the_deadline_or_with_the_caller() -> None:
    left_at: list[float] = []

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await read_request(reader)
        if "events" not in str(head):
            body = json.dumps(TASK).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body))
            writer.write(b"Connection: close\r\n\r\n" + body)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(b"data: %b\n\n" % json.dumps(TASK | {"progress": 9}).encode())
        while await reader.read(1):
            pass
        left_at.append(now())

    async with listening(handle) as address, TaskClient(address) as tasks:
        start = now()
        with pytest.raises(client.DeadlineExceededError):
            await tasks.wait("a1", progress=lambda _: None, timeout=10)
        assert 9 <= now() - start < 20
        await asyncio.sleep(1)
        assert len(left_at) == 1

        def refuse(task: TaskRecord) -> None:
            if task.progress:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await tasks.wait("a1", progress=refuse)
        await asyncio.sleep(1)
        assert len(left_at) == 2


@on(VirtualLoop)
async def test_a_failure_is_raised() -> None:
    async with client_of_app() as (tasks, _):
        with pytest.raises(
            client.TaskFailedError, match=r"^task_failed: on purpose$"
        ) as failed:
            await tasks.run("simulate_failure", {"message": "on purpose"})
        assert failed.value.code == "task_failed"
        assert failed.value.task.status == "failed"
        assert type(failed.value) is client.TaskFailedError

        with pytest.raises(client.TaskFailedError) as crashed:
            await tasks.run("simulate_failure", {"kind": "crash"})
        assert crashed.value.code == "internal_error"

        with pytest.raises(client.TaskFinishedError):
            await tasks.cancel(failed.value.task.task_id)
        assert await tasks.run("compute_sum", {"numbers": [1, 2]}) == {"sum": 3}


@on(VirtualLoop)
async def test_a_cancellation_is_raised() -> None:
    async with client_of_app() as (tasks, _):
        run = asyncio.create_task(run_for(tasks, 30))
        await asyncio.sleep(1)
        (task,) = [task async for task in tasks.list(status="processing")]
        for _ in range(2):
            cancelled = await tasks.cancel(task.task_id)
            assert cancelled.status == "cancelled"

        with pytest.raises(client.TaskCancelledError) as caught:
            await run
        assert caught.value.code == "cancelled"
        assert caught.value.task.task_id == task.task_id


@on(VirtualLoop)
async def test_a_refusal_says_what_is_wrong() -> None:
    async with client_of_app() as (tasks, _):
        with pytest.raises(
            client.InvalidRequestError, match=r"#/parameters/numbers/1"
        ) as invalid:
            await tasks.run("compute_sum", {"numbers": [1, "2"]})
        (error,) = invalid.value.errors
        assert error["pointer"] == "#/parameters/numbers/1"

        with pytest.raises(
            client.TaskNotFoundError, match=r"after a while\.$"
        ) as unknown:
            await tasks.wait("00000000-0000-4000-8000-000000000000")
        assert unknown.value.status == 404
        assert unknown.value.code == "task_not_found"
        assert unknown.value.errors == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LATE, "timeout: Late."),
        ({"code": "timeout"}, "timeout: task a1"),
        ({"message": "Late."}, "failed: Late."),
        (None, "failed: task a1"),
    ],
)
def test_a_failure_has_a_message_whatever_the_server_says(
    error: Any, message: str
) -> None:
    members = DONE | {"status": "failed", "error": error}
    assert str(client.TaskFailedError(TaskRecord(**members))) == message


@on(VirtualLoop)
async def test_a_key_stands_for_one_task() -> None:
    key = 'my "key"'
    async with client_of_app() as (tasks, _):
        first = await tasks.submit("compute_sum", ONE, key=key)
        again = await tasks.submit("compute_sum", ONE, key=key)
        assert again.task_id == first.task_id

        assert await tasks.run("compute_sum", ONE, key=key) == {"sum": 1}
        assert await tasks.run("compute_sum", ONE, key=key) == {"sum": 1}

        with pytest.raises(client.IdempotencyKeyReusedError):
            await tasks.submit("compute_sum", {"numbers": [2]}, key=key)
        assert len([task async for task in tasks.list()]) == 1


@on(VirtualLoop)
async def test_a_full_queue_is_waited_for() -> None:
    async with client_of_app(workers=1, queue_size=1) as (tasks, wire):
        results = await asyncio.gather(
            *(tasks.run("compute_sum", {"numbers": [n]}) for n in range(5))
        )
        assert results == [{"sum": n} for n in range(5)]
        assert 503 in wire.answers


# The list


@on(VirtualLoop)
async def test_the_list_shows_the_tasks_in_the_order_submitted(gate: Gate) -> None:
    async with client_of_app(queue_size=1000) as (tasks, _):
        # str.splitlines would split these.
        titles = [f"a\u2028b\u2029{n}" for n in range(300)]
        for title in titles:
            await tasks.submit("generate_report", {"title": title})
        assert [task.parameters["title"] async for task in tasks.list()] == titles

        processing = [task async for task in tasks.list(status="processing", limit=2)]
        assert [task.parameters["title"] for task in processing] == titles[:2]

        with pytest.raises(client.InvalidRequestError) as caught:
            await anext(tasks.list(status="lost"))
        (error,) = caught.value.errors
        assert error["parameter"] == "status"


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
    for request in script.requests:
        assert request.headers["Accept"] == "application/x-ndjson"


@on(VirtualLoop)
async def test_a_list_that_never_begins_is_of_no_one_task() -> None:
    script = Script(problem(503, "shutting_down", **{"Retry-After": "5"}))
    async with script.client() as tasks:
        with pytest.raises(client.DeadlineExceededError) as caught:
            await anext(tasks.list(timeout=9))
    assert caught.value.task_id == ""
    assert str(caught.value) == (
        "no answer in time: GET /tasks (the last: 503 shutting_down: Why.)"
    )


class EndlessList(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """A list of tasks has no end, until its reader closes it."""

    def __init__(self) -> None:
        self.entered = False
        self.closed = False

    async def __aenter__(self) -> "EndlessList":
        self.entered = True
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield json.dumps(TASK).encode() + b"\n"

    async def aclose(self) -> None:
        self.closed = True


@on(VirtualLoop)
async def test_who_leaves_a_list_early_closes_it_at_once() -> None:
    endless = EndlessList()
    async with TaskClient("http://test", transport=endless) as tasks:
        assert endless.entered
        async with contextlib.aclosing(tasks.list()) as listing:
            task = await anext(listing)
            assert task.task_id == "a1"
            assert not endless.closed
        assert endless.closed


# Over sockets that stall, break and restart


Handle = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]


@contextlib.asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[str]:
    """Serve with ``handle`` on a loopback port, and yield the address.

    Connections are closed with the server.
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
    (listener,) = server.sockets
    host, port = listener.getsockname()
    try:
        yield f"http://{host}:{port}"
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
    """Serve the app in this loop, and yield it and its port."""
    app = create_app(settings(**changes))
    server = Server(uvicorn.Config(app, port=port, log_config=None, ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.1)

    (listening_server,) = server.servers
    (listener,) = listening_server.sockets
    _, port = listener.getsockname()
    try:
        yield app, port
    finally:
        # This is what the signal would do.
        app.state.manager.begin_stop()
        server.should_exit = True
        await task


class Proxy:
    """A proxy stands before a server, and drops every third answer.

    It drops all of it, and the next time half of it.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.passed = 0
        self.dropped = 0

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
            kept = len(answer) // 2 if self.dropped % 2 else 0
            answer = answer[:kept]

        writer.write(answer)
        await writer.drain()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (?P<bytes>\d+)", head.lower())
    if length is None:
        return head
    return head + await reader.readexactly(int(length["bytes"]))


@pytest.mark.slow
@on(HurriedLoop)
async def test_two_hundred_runs_over_a_bad_network_run_once(
    handle_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take its time.
    monkeypatch.setattr(client, "NETWORK_TIMEOUT", httpx.Timeout(600, pool=None))
    runs: Counter[int] = Counter()

    async def handle(task_type: str, parameters: Any, tools: Any) -> dict[str, Any]:
        number, _ = parameters.numbers
        runs[number] += 1
        return {"sum": sum(parameters.numbers)}

    handle_with(handle)
    async with serving(queue_size=1000) as (app, port):
        proxy = Proxy(port)
        async with listening(proxy) as address, TaskClient(address) as tasks:
            results = await asyncio.gather(
                *(
                    tasks.run("compute_sum", {"numbers": [n, 1]}, timeout=3600)
                    for n in range(200)
                )
            )

        assert results == [{"sum": n + 1} for n in range(200)]
        assert runs == Counter(range(200))
        assert app.state.manager.stats()["tasks"] == 200
        assert proxy.dropped >= 200 / 2


@pytest.mark.slow
@on(HurriedLoop)
async def test_a_server_that_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST_BACKOFF", 1.0)
    async with serving(work_scale=1) as (_, port):
        pass

    async with TaskClient(f"http://127.0.0.1:{port}") as tasks:
        # Nobody listens.
        submitting = asyncio.create_task(tasks.submit("compute_sum", ONE, key="k"))
        await asyncio.sleep(5)
        assert not submitting.done()

        async with serving(port, work_scale=1):
            task = await submitting
            done = await tasks.wait(task)
            assert done.result == {"sum": 1}

            waiting = asyncio.create_task(
                tasks.run("generate_report", REPORT, progress=print)
            )
            await asyncio.sleep(3)

        # The server's stop answers its long polls.
        with pytest.raises(client.TaskCancelledError):
            await waiting

        lost = asyncio.create_task(tasks.wait(task.task_id))
        await asyncio.sleep(5)
        async with serving(port, work_scale=1) as (app, _):
            with pytest.raises(client.TaskNotFoundError):
                await lost
            # What was lost is not submitted anew.
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
    monkeypatch.setattr(client, "NETWORK_TIMEOUT", httpx.Timeout(5, pool=None))
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

        # It sends slowly, but is never silent for long.
        for start in range(0, len(body), 10):
            writer.write(body[start : start + 10])
            await writer.drain()
            await asyncio.sleep(0.5)

    async with listening(handle) as address, TaskClient(address) as tasks:
        start = now()
        task = await tasks.get("a1")
        assert task.result == {"sum": 6}
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
        for _ in range(3):
            task = await anext(listing)
            assert task.task_id == "a1"
        with pytest.raises(
            client.BrokenAnswerError, match=f"^the list of tasks {complaint}$"
        ):
            await anext(listing)
    assert requests == 1


@pytest.mark.parametrize("kept", [0, 0.5])
@on(HurriedLoop)
async def test_a_body_that_is_no_gzip_is_a_broken_answer(kept: float) -> None:
    """None of it is gzip, or its second half is not."""
    body = gzip.compress(random.Random(1).randbytes(1000))
    half = int(len(body) * kept)
    body = body[:half] + b"this is no gzip" * 100

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await read_request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        )
        writer.write(body)

    async with listening(handle) as address, TaskClient(address) as tasks:
        for call in CALLS.values():
            with pytest.raises(client.BrokenAnswerError):
                await call(tasks)
        with pytest.raises(client.BrokenAnswerError):
            await anext(tasks.list())


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
        task = await anext(listing)
        assert task.task_id == "a1"

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


@on(HurriedLoop)
async def test_more_than_a_hundred_long_polls_are_under_way_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine may take its time.
    monkeypatch.setattr(client, "NETWORK_TIMEOUT", httpx.Timeout(600, pool=None))
    most = 101
    under_way = 0
    all_here = asyncio.Event()

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal under_way
        if b"wait" in await read_request(reader):
            under_way += 1
            if under_way == most:
                all_here.set()
            await all_here.wait()

        body = json.dumps(DONE).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body))
        writer.write(b"Connection: close\r\n\r\n" + body)

    async with listening(handle) as address, TaskClient(address) as tasks:
        # The first answer says that there is no limit.
        await tasks.get("a1")
        queued = TaskRecord(**TASK)
        await asyncio.gather(*(tasks.wait(queued, timeout=600) for _ in range(most)))
    assert under_way == most


# The file


def test_it_can_be_lifted_out() -> None:
    path = project_root() / "taskmanager" / "client.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported |= {alias.name for alias in names}
            case ast.ImportFrom(module=module, level=level):
                assert level == 0
                imported.add(module)

    roots = {name.partition(".")[0] for name in imported}
    assert roots - sys.stdlib_module_names == {"anyio", "httpx"}

    for other in (project_root() / "taskmanager").glob("*.py"):
        text = other.read_text(encoding="utf-8")
        assert other == path or "client import" not in text
