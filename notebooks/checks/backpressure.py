"""Checks for 04-backpressure-and-priorities."""

import asyncio
import math
from typing import Any
from unittest import mock

import httpx

from notebooks import lab
from notebooks.checks import exercise, numbers_of, plain_methods


@exercise(
    "A head start bounds the wait: only what comes less than 60 s later overtakes, "
    "however long the stream goes on."
)
def low_starts(answer: Any) -> None:
    assert answer not in (None, math.inf), (
        "that would be a wall; a head start runs out."
    )
    (starts,) = numbers_of(answer, 1)
    assert starts != 60, (
        "after 60 s nothing new overtakes it, but what has overtaken it by then is "
        "not done yet."
    )
    assert starts != 155, (
        "the high one of t = 60 has the same place, but the low one was submitted "
        "before it."
    )
    assert starts == 150, (
        f"not {starts}: count the high ones that go first, and the one under way."
    )


@exercise(
    "Retry-After is a minimum: where many clients are refused at one moment, each "
    "should add a random bit, or they all return together."
)
def submit_all(answer: Any) -> None:
    server = _FullAtTimes()
    client = httpx.AsyncClient(
        transport=httpx.MockTransport(server.serve), base_url="http://localhost:8000"
    )
    submissions = [
        {"task_type": "compute_sum", "parameters": {"numbers": [number]}}
        for number in range(3)
    ]
    ids = lab.run(answer(client, submissions), limit=1000)

    accepted = server.accepted
    assert server.times, "it makes no request."
    assert accepted >= 3, f"it gives up: {accepted} of three tasks are accepted."
    assert accepted == 3, f"it submits {accepted} tasks, not three."

    assert server.most == 1, (
        f"it makes {server.most} requests at once: submit one after the other, so that "
        "they stay in order."
    )
    for told, waited in server.pauses:
        advice = ": await asyncio.sleep" if waited < 0.01 else ""
        # A float may be a hair less.
        assert waited > told - 0.001, (
            f"told to wait for {told} s, it waits for {abs(waited):.1f} s{advice}."
        )
        assert waited < told + 3.1, (
            f"told to wait for {told} s, it waits for {waited:.1f} s: much longer than "
            "it is told."
        )
    assert isinstance(ids, list | tuple), (
        f"it returns {ids!r:.60}, not the ids of the tasks."
    )
    assert list(ids) == ["task-1", "task-2", "task-3"], (
        f"it returns {ids!r:.60}, not the ids of the tasks."
    )


class _FullAtTimes:
    """A server whose queue is full until 7 s, and then until 10 s.

    At 7 s somebody else is faster. It accepts the first request, and
    the rest.
    """

    TAKES = 0.05  # seconds

    def __init__(self) -> None:
        self.begun = lab.now()
        self.times: list[float] = []
        # After each refusal: the seconds told, and those waited.
        self.pauses: list[tuple[int, float]] = []
        self.refused: tuple[int, float] | None = None
        self.accepted = 0
        self.under_way = 0
        self.most = 0

    async def serve(self, request: httpx.Request) -> httpx.Response:
        if self.refused is not None:
            told, at = self.refused
            self.pauses.append((told, lab.now() - self.begun - at))
            self.refused = None

        self.under_way += 1
        self.most = max(self.most, self.under_way)
        # So that time moves even if the answer asks without a pause.
        await asyncio.sleep(self.TAKES)
        self.under_way -= 1
        now = lab.now() - self.begun
        self.times.append(now)

        free = 10 if now >= 7 else 7
        if self.accepted == 1 and now < 10:
            told = math.ceil(free - now)
            self.refused = (told, now)
            return httpx.Response(503, headers={"retry-after": str(told)}, json={})

        self.accepted += 1
        receipt = {"task_id": f"task-{self.accepted}", "status": "queued"}
        return httpx.Response(202, json=receipt)


@exercise(
    "A cancelled task has left the queue, so there is a free slot exactly when fewer "
    "tasks wait than there are slots."
)
def MendedQueue(answer: Any) -> None:  # noqa: N802 - called like the answer
    plain_methods(answer, "put", "cancel")
    sleep = asyncio.sleep
    wakes = 0

    async def counted_sleep(seconds: float, *result: Any) -> Any:
        nonlocal wakes
        wakes += 1
        # Else "await asyncio.sleep(0)" would stop virtual time.
        return await sleep(max(seconds, 0.001), *result)

    with mock.patch("asyncio.sleep", counted_sleep):
        lab.run(_try_out(answer, sleep), limit=1000)
    assert wakes < 10, (
        f"it looks {wakes} times whether there is a task, in place of waiting for one."
    )


async def _try_out(answer: Any, sleep: Any) -> None:
    queue = answer(2)
    queue.put("a")
    queue.put("b")
    assert not _put(queue, "c"), "with two slots it takes three tasks."
    queue.cancel("a")
    assert _put(queue, "c"), "a cancelled task keeps its slot."
    assert not _put(queue, "d"), "a cancelled task gives back more than one slot."

    got = await queue.get()
    assert got != "a", "it hands out a task that was cancelled."
    assert got == "b", f"it hands out {got!r} where {'b'!r} was first."
    assert _put(queue, "d"), "a task that was taken keeps its slot."
    queue.cancel("d")
    assert _put(queue, "e"), "a cancelled task keeps its slot, if it was the last."
    assert [await queue.get(), await queue.get()] == ["c", "e"], (
        "it does not hand out the rest in order."
    )

    getting = [asyncio.ensure_future(queue.get()) for _ in range(2)]
    try:
        await sleep(1)
        assert not any(each.done() for each in getting), (
            "get does not wait when there is nothing."
        )
        queue.put("f")
        # Before any worker has had its turn.
        queue.cancel("f")
        await sleep(1)
        assert not any(each.done() for each in getting), (
            "get returns although the only task was cancelled."
        )

        queue.put("g")
        queue.put("h")
        await sleep(1)
        done = sorted(each.result() for each in getting if each.done())
        assert done == ["g", "h"], (
            f"two workers wait, two tasks are put, and {len(done)} are handed out."
        )
    finally:
        for each in getting:
            each.cancel()
        await asyncio.gather(*getting, return_exceptions=True)


def _put(queue: Any, task: str) -> bool:
    """Whether there was room for it."""
    try:
        queue.put(task)
    except asyncio.QueueFull:
        return False
    return True
