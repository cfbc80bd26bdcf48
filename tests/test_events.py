"""States are pushed: each once, the last one to everybody.

Whatever is looked at is looked at once, however many read it.
"""

import asyncio
import itertools
import json
from functools import partial
from typing import Any

import pytest
from starlette.types import Message

from taskmanager import events
from taskmanager.events import COMMENT, PORTION, Event, Feed
from taskmanager.manager import TaskManager
from taskmanager.task import Task
from taskmanager.testing import run_in_virtual_time
from tests.helpers import FAILURE, REPORT, SUM, Gate, managing, settle


def feed_of(manager: TaskManager, task: Task) -> Feed:
    now = events.task_event(manager, task)
    return Feed(now, partial(events.next_task_event, manager, task))


def state(text: bytes) -> tuple[str, int]:
    """The status and the progress that an event tells."""
    *_, data = text.removesuffix(b"\n\n").split(b"\ndata: ")
    task = json.loads(data)
    return task["status"], task["progress"]


class Reading:
    """Reads a feed; what it was sent is in ``read``.

    A slow one takes what it is sent only when it is let.
    """

    def __init__(self, feed: Feed, resumed: bool = False, slow: bool = False) -> None:
        self.read: list[bytes] = []
        self.times: list[float] = []
        self.may_read = asyncio.Event()
        if not slow:
            self.may_read.set()
        self.left = asyncio.Event()
        seen = feed.latest.key if resumed else ""
        self.reading = asyncio.create_task(feed.read(seen, self.send, self._receive))

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.read.append(message["body"])
        self.times.append(asyncio.get_running_loop().time())
        await self.may_read.wait()

    def states(self) -> list[tuple[str, int]]:
        return [state(text) for text in self.read if text != COMMENT]


async def test_each_state_is_told_once_and_the_last_ends_it(gate: Gate) -> None:
    async with managing(workers=1) as manager:
        first = manager.submit(SUM)
        task = manager.submit(SUM)
        reader = Reading(feed_of(manager, task))
        await settle()
        assert reader.states() == [("queued", 0)]

        gate.open(0)
        await settle()
        for percent in (10, 10, 5, 20):
            task.report_progress(percent)
            await settle()
        gate.open(1)
        await asyncio.wait_for(reader.reading, 5)

    assert first.finished
    assert reader.states() == [
        ("queued", 0),
        ("processing", 0),
        ("processing", 10),
        ("processing", 20),
        ("completed", 100),
    ]


async def test_an_event_has_an_id_and_the_task_on_one_line(gate: Gate) -> None:
    async with managing() as manager:
        task = manager.submit(FAILURE | {"parameters": {"message": "\u2028 ü"}})
        await settle()
        task.report_progress(7)
        event = events.task_event(manager, task)

        head, data, *rest = event.text.split(b"\n")
        assert head == f"id: 2-7-{task.task_id}".encode()
        assert json.loads(data.removeprefix(b"data: ")) == manager.describe(task)
        assert rest == [b"", b""]


async def test_to_who_resumes_nothing_is_told_again(gate: Gate) -> None:
    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()
        reader = Reading(feed_of(manager, task), resumed=True)
        await settle()
        assert reader.states() == []

        task.report_progress(30)
        await settle()
        assert reader.states() == [("processing", 30)]


async def test_a_slow_reader_has_one_state_pending_and_gets_the_last(
    gate: Gate,
) -> None:
    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()
        feed = feed_of(manager, task)
        slow = Reading(feed, slow=True)
        quick = Reading(feed)
        await settle()
        for percent in range(1, 51):
            task.report_progress(percent)
            await settle()
        assert slow.states() == [("processing", 0)]
        assert len(quick.states()) == 51

        # What it is sent next is the latest.
        slow.may_read.set()
        await settle()
        assert slow.states() == [("processing", 0), ("processing", 50)]

        slow.may_read.clear()
        task.report_progress(60)
        await settle()
        task.report_progress(70)
        gate.open(0)
        await settle()
        slow.may_read.set()
        await asyncio.wait_for(slow.reading, 5)
        assert slow.states()[2:] == [("processing", 60), ("completed", 100)]


async def test_who_joins_later_sees_the_task_as_it_is_then(gate: Gate) -> None:
    async with managing(workers=1) as manager:
        manager.submit(SUM)
        before = manager.submit(SUM)
        task = manager.submit(SUM)
        await settle()
        feed = feed_of(manager, task)
        await settle()

        manager.cancel(before.task_id)
        now = events.task_event(manager, task)
        assert b'"queue_position":0' in now.text

        feed.latest = now
        early = Reading(feed)
        await settle()
        assert early.read == [now.text]

        # What comes at the same moment is told once, whoever is first.
        gate.open(0)
        await settle()
        task.report_progress(9)
        feed.latest = events.task_event(manager, task)
        late = Reading(feed)
        await settle()
        task.report_progress(12)
        await settle()
        states = [("processing", 0), ("processing", 9), ("processing", 12)]
        assert early.states() == [("queued", 0), *states]
        assert late.states() == states[1:]
        feed.telling.cancel()


def test_a_comment_is_sent_after_each_silence(gate: Gate) -> None:
    async def watch() -> list[float]:
        async with managing(task_timeout=1000) as manager:
            task = manager.submit(SUM)
            await settle()
            reader = Reading(feed_of(manager, task))
            clock = asyncio.get_running_loop().time
            times = []
            seen = 0
            for second in range(60):
                if second == 20:
                    task.report_progress(1)
                await asyncio.sleep(1)
                if reader.read[seen:] == [COMMENT]:
                    times.append(clock())
                seen = len(reader.read)
            return times

    # After the first event, and after that of the 20th second.
    assert run_in_virtual_time(watch()) == [16, 36, 51]


async def test_slow_readers_hold_nobody_up(gate: Gate) -> None:
    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()
        feed = feed_of(manager, task)
        slow = [Reading(feed) for _ in range(PORTION)]
        quick = Reading(feed)
        await settle()
        for each in slow:
            each.may_read.clear()
        task.report_progress(50)
        for _ in range(PORTION):
            await settle()
        assert len(quick.read) == 2
        gate.open(0)
        await asyncio.wait_for(quick.reading, 5)
        assert quick.states()[1:] == [("processing", 50), ("completed", 100)]
        assert not any(each.reading.done() for each in slow)

        # Who leaves meanwhile is not sent to any more.
        for each in slow:
            each.left.set()
        await settle()
        assert not any("Feed" in repr(each) for each in asyncio.all_tasks())
        assert all(len(each.read) == 2 for each in slow)


async def test_who_cannot_be_sent_to_holds_nobody_up(gate: Gate) -> None:
    async def send(_: Message) -> None:
        raise OSError("gone")

    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()
        feed = feed_of(manager, task)
        broken = asyncio.create_task(feed.read("", send, asyncio.Event().wait))
        other = Reading(feed)
        await settle()
        task.report_progress(5)
        await settle()
        assert other.states() == [("processing", 0), ("processing", 5)]
        broken.cancel()
        feed.telling.cancel()


async def test_readers_are_sent_to_in_portions(gate: Gate) -> None:
    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()
        feed = feed_of(manager, task)
        readers = [Reading(feed) for _ in range(1000)]
        await settle()
        assert all(each.states() == [("processing", 0)] for each in readers)

        def told() -> int:
            return sum(len(reader.read) for reader in readers) - 1000

        task.report_progress(50)
        counts = [0]
        while told() < 1000:
            await asyncio.sleep(0)
            counts.append(told())
        steps = [after - before for before, after in itertools.pairwise(counts)]
        assert max(steps) == PORTION
        # Between two portions others have several turns.
        assert len(counts) >= 3 * 1000 / PORTION

        manager.cancel(task.task_id)
        await asyncio.wait_for(asyncio.gather(*(each.reading for each in readers)), 5)
        assert {each.states()[-1] for each in readers} == {("cancelled", 50)}


async def test_a_state_is_encoded_once_for_all_readers(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()
        feed = feed_of(manager, task)
        readers = [Reading(feed) for _ in range(10)]
        await settle()

        encoded = []
        encode = events.to_json
        monkeypatch.setattr(
            events, "to_json", lambda value: encoded.append(1) or encode(value)
        )
        task.report_progress(50)
        await settle()
        assert len(encoded) == 1
        assert {each.states()[-1] for each in readers} == {("processing", 50)}
        feed.telling.cancel()


async def test_readers_end_where_nobody_tells_them_any_more() -> None:
    async def broken(_: Event) -> Event:
        await may_break.wait()
        raise ValueError("a fault")

    may_break = asyncio.Event()
    feed = Feed(Event(1, b"one", False), broken)
    readers = [Reading(feed) for _ in range(2 * PORTION + 1)]
    await settle()
    may_break.set()
    await asyncio.wait_for(asyncio.gather(*(each.reading for each in readers)), 5)
    with pytest.raises(ValueError, match="a fault"):
        await feed.telling

    late = Reading(feed)
    await asyncio.wait_for(late.reading, 5)
    assert late.read == [b"one"]


async def test_the_status_alone_wakes_a_long_poll(gate: Gate) -> None:
    async with managing() as manager:
        task = manager.submit(SUM)
        await settle()
        changed = task.next_change()
        news = task.next_news()
        task.report_progress(10)
        assert news.is_set()
        assert not changed.is_set()

        news = task.next_news()
        task.report_progress(10)
        assert not news.is_set()
        manager.cancel(task.task_id)
        assert news.is_set()
        assert changed.is_set()


# The board


def shown(event: Event) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(event.text.removeprefix(b"data: "))
    return board


async def test_the_board_shows_what_goes_on(gate: Gate) -> None:
    async with managing(workers=2) as manager:
        done = manager.submit(SUM)
        working = manager.submit(SUM | {"priority": "low"})
        await settle()
        low = manager.submit(SUM | {"priority": "low"})
        normal = manager.submit(SUM)
        high = manager.submit(SUM | {"priority": "high"})
        gate.open(0)
        await settle()
        working.report_progress(40)

        board = shown(events.board_event(manager))
        assert board["counts"] == manager.stats()
        ids = {
            part: [task["task_id"] for task in board[part]]
            for part in ("workers", "queue", "ended")
        }
        assert ids == {
            "workers": [working.task_id, high.task_id],
            "queue": [normal.task_id, low.task_id],
            "ended": [done.task_id],
        }
        (first, _) = board["workers"]
        assert first["progress"] == 40
        assert first["started_at"] == working.started_at
        assert board["ended"][0]["status"] == "completed"


async def test_the_board_tells_nothing_that_users_wrote(gate: Gate) -> None:
    async with managing(workers=1) as manager:
        manager.submit(REPORT | {"parameters": {"title": "a secret title"}})
        manager.submit(FAILURE | {"parameters": {"message": "a secret message"}})
        await settle()
        gate.open(0)
        await settle()
        assert b"secret" not in events.board_event(manager).text
        assert b"done" not in events.board_event(manager).text


async def test_a_board_is_less_than_64_kib_however_much_there_is() -> None:
    sizes = {"workers": 1000, "queue_size": 1000, "max_tasks": 3000}
    async with managing(work_scale=10**6, **sizes) as manager:
        tasks = [manager.submit(FAILURE) for _ in range(1000)]
        await settle()
        for task in tasks[:500]:
            manager.cancel(task.task_id)
        await settle()
        for _ in range(500):
            manager.submit(FAILURE)
        await settle()
        for _ in range(1000):
            manager.submit(FAILURE)

        event = events.board_event(manager)
        board = shown(event)
        assert len(event.text) < 2**16
        assert len(board["queue"]) >= 100
        assert all(board.values())


def test_boards_come_at_most_ten_times_a_second_and_only_when_new(
    gate: Gate,
) -> None:
    async def watch() -> dict[str, list[float]]:
        async with managing(task_timeout=1000, workers=1) as manager:
            now = events.board_event(manager)
            feed = Feed(now, partial(events.next_board_event, manager))
            reader = Reading(feed)
            times = reader.times
            await asyncio.sleep(14)
            task = manager.submit(SUM)
            found = {"idle": list(times)}
            await asyncio.sleep(1)
            times.clear()
            for percent in range(99):
                task.report_progress(percent)
                await asyncio.sleep(0.01)
            found["busy"] = list(times)
            times.clear()
            await asyncio.sleep(50)
            found["silent"] = list(times)

            manager.begin_stop()
            await asyncio.wait_for(reader.reading, 0.2)
            assert reader.read.count(COMMENT) == 3
            return found

    found = run_in_virtual_time(watch())
    assert found["idle"] == [0]
    assert 9 <= len(found["busy"]) <= 11
    # The last state of the progress, and then one after each silence.
    assert len(found["silent"]) == 1 + 3
