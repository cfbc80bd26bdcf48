"""Listings: who may encode, for how long, and what ends it.

Encoding takes a made-up time on a made-up clock, and a ticker counts
the turns of the loop: nothing here depends on the machine.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taskmanager import listing
from taskmanager.manager import TaskManager
from taskmanager.task import TaskStatus
from taskmanager.testing import run_in_virtual_time
from tests.helpers import SUM, Gate, managing, settle

MS = 0.001
# Turns that a request on a new connection needs under uvicorn.
A_REQUEST = 5


class Encoder:
    """Replaces ``to_json`` and the clock: each record takes so long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 1000.0
        # "tick" for each turn of the loop, and the id of each record.
        self.log: list[str] = []

    def monotonic(self) -> float:
        return self.now

    def to_json(self, record: Any) -> bytes:
        self.now += self.seconds
        self.log.append(record["task_id"])
        return json.dumps(record).encode()

    @property
    def encoded(self) -> list[str]:
        return [entry for entry in self.log if entry != "tick"]

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        async def tick() -> None:
            while True:
                self.log.append("tick")
                await asyncio.sleep(0)

        ticker = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticker.cancel()


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    encoder = Encoder(seconds=0)
    monkeypatch.setattr(listing, "to_json", encoder.to_json)
    monkeypatch.setattr(listing, "time", encoder)
    return encoder


def submit(manager: TaskManager, count: int) -> list[str]:
    return [manager.submit(SUM).task_id for _ in range(count)]


class Listings:
    """All listings of one manager, and the lock that they share."""

    def __init__(self, manager: TaskManager) -> None:
        self.manager = manager
        self.encoding = asyncio.Lock()

    def slices(
        self, status: TaskStatus | None = None, limit: int = 10_000
    ) -> AsyncIterator[list[bytes]]:
        pages = self.manager.list_tasks(status)
        return listing.slices(self.manager, pages, status, limit, self.encoding)

    async def read(self, **query: Any) -> list[str]:
        """The ids of the tasks that are listed."""
        return [
            json.loads(record)["task_id"]
            async for records in self.slices(**query)
            for record in records
        ]


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [
        # A page is the most.
        (0, [128, 72]),
        (0.005 * MS, [128, 72]),
        # No longer than 5 ms, with the record that ends the slice.
        (0.03 * MS, [34, 34, 34, 26, 34, 34, 4]),
        (0.9 * MS, [2] * 100),
        # A record is the least.
        (2 * MS, [1] * 200),
        (7 * MS, [1] * 200),
    ],
)
async def test_a_slice_ends_in_time(
    gate: Gate, encoder: Encoder, seconds: float, sizes: list[int]
) -> None:
    async with managing(queue_size=1000) as manager:
        ids = submit(manager, 200)
        encoder.seconds = seconds
        slices = [records async for records in Listings(manager).slices()]

    assert [len(records) for records in slices] == sizes
    assert encoder.encoded == ids


@pytest.mark.parametrize("listings", [1, 2, 8, 50])
async def test_between_two_large_records_a_request_is_served(
    gate: Gate, encoder: Encoder, listings: int
) -> None:
    async with managing() as manager:
        ids = submit(manager, 6)
        encoder.seconds = 6 * MS
        shared = Listings(manager)
        async with encoder.ticking():
            listed = await asyncio.gather(*[shared.read() for _ in range(listings)])

    assert listed == [ids] * listings
    log = "".join("." if entry == "tick" else "#" for entry in encoder.log)
    gaps = [len(turns) for turns in log.split("#")[1:]]
    assert len(gaps) == 6 * listings
    assert min(gaps) >= A_REQUEST
    # And no listing waits for longer than for each of the others.
    assert encoder.encoded == [task_id for task_id in ids for _ in range(listings)]


async def test_small_records_cost_one_turn_a_page(gate: Gate, encoder: Encoder) -> None:
    async with managing(queue_size=1000) as manager:
        submit(manager, 600)
        async with encoder.ticking():
            await Listings(manager).read()

    assert encoder.log.count("tick") == 5


def test_many_pages_take_no_time() -> None:
    async def read_all() -> float:
        async with managing(queue_size=1000) as manager:
            submit(manager, 600)
            clock = asyncio.get_running_loop().time
            begun = clock()
            assert len(await Listings(manager).read()) == 600
            return clock() - begun

    assert run_in_virtual_time(read_all()) < 1


async def test_pages_without_a_match_cost_a_turn_each(
    gate: Gate, encoder: Encoder
) -> None:
    async with managing(queue_size=1000) as manager:
        submit(manager, 600)
        async with encoder.ticking():
            assert await Listings(manager).read(status=TaskStatus.FAILED) == []

    assert encoder.log.count("tick") == 5


async def test_who_does_not_read_on_holds_up_no_other_listing(
    gate: Gate, encoder: Encoder
) -> None:
    async with managing() as manager:
        ids = submit(manager, 4)
        encoder.seconds = 6 * MS
        shared = Listings(manager)

        unread = shared.slices()
        assert len(await anext(unread)) == 1
        assert await shared.read() == ids


async def test_who_leaves_holds_up_no_other_listing(
    gate: Gate, encoder: Encoder
) -> None:
    async with managing() as manager:
        ids = submit(manager, 4)
        encoder.seconds = 6 * MS
        shared = Listings(manager)

        # One that has just encoded, and one that waits for that.
        leaving = [asyncio.create_task(shared.read()) for _ in range(2)]
        staying = asyncio.create_task(shared.read())
        await asyncio.sleep(0)
        assert len(encoder.encoded) == 1
        for each in leaving:
            each.cancel()

        assert await staying == ids
        assert all(each.cancelled() for each in leaving)


async def test_a_task_that_has_changed_before_its_turn_is_not_listed(
    gate: Gate, encoder: Encoder
) -> None:
    async with managing(workers=1) as manager:
        ids = submit(manager, 8)
        await settle()  # the first is processed
        encoder.seconds = 6 * MS

        shown = []
        async for [record] in Listings(manager).slices(TaskStatus.QUEUED, limit=4):
            shown.append(json.loads(record))
            for task_id in ids[2:4]:
                manager.cancel(task_id)

    assert [task["task_id"] for task in shown] == [ids[1], *ids[4:7]]
    assert {task["status"] for task in shown} == {"queued"}


async def test_a_page_whose_tasks_have_all_changed_is_left_out(
    gate: Gate, encoder: Encoder
) -> None:
    async with managing(workers=1) as manager:
        ids = submit(manager, 3)
        await settle()
        encoder.seconds = 6 * MS

        shown = []
        async for line in listing.as_lines(Listings(manager).slices(TaskStatus.QUEUED)):
            shown.append(line)
            manager.cancel(ids[2])

    assert len(shown) == 1


@pytest.mark.parametrize("seconds", [0, 6 * MS])
async def test_once_the_manager_stops_nothing_more_is_encoded(
    gate: Gate, encoder: Encoder, seconds: float
) -> None:
    async with managing(queue_size=1000) as manager:
        submit(manager, 300)
        encoder.seconds = seconds
        shared = Listings(manager)

        bodies = [bytearray() for _ in range(3)]
        unread = shared.slices()
        await anext(unread)

        async def read_into(body: bytearray) -> None:
            async for part in listing.as_array(shared.slices()):
                body += part

        listings = [asyncio.create_task(read_into(body)) for body in bodies]
        while not all(bodies):
            await asyncio.sleep(0)
        manager.begin_stop()
        before = len(encoder.encoded)

        ends = await asyncio.gather(*listings, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        with pytest.raises(asyncio.CancelledError):
            await anext(unread)

        assert len(encoder.encoded) == before
        assert not any(body.endswith(b"]") for body in bodies)


async def slices_of(*slices: list[bytes]) -> AsyncIterator[list[bytes]]:
    for records in slices:
        yield records


@pytest.mark.parametrize(
    ("slices", "array", "lines"),
    [
        ([], b"[]", b""),
        ([[b"1"]], b"[1]", b"1\n"),
        ([[b"1", b"2"], [b"3"], [b"4", b"5"]], b"[1,2,3,4,5]", b"1\n2\n3\n4\n5\n"),
    ],
)
async def test_the_forms_of_a_listing(
    slices: list[list[bytes]], array: bytes, lines: bytes
) -> None:
    parts = [part async for part in listing.as_array(slices_of(*slices))]
    assert b"".join(parts) == array
    parts = [part async for part in listing.as_lines(slices_of(*slices))]
    assert b"".join(parts) == lines
