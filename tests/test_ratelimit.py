"""The limiter is exact at the edges of its window, and bounded.

It counts for every client apart.
"""

import asyncio
import math
import random
from collections import deque

import pytest

from taskmanager.ratelimit import Decision, SlidingWindow, client_key


async def test_ten_a_minute_table() -> None:
    window = SlidingWindow(limit=2, window=60, max_clients=10)
    table = [
        # The columns are now, allowed, remaining and reset.
        (0.0, True, 1, 60),
        (10.0, True, 0, 50),
        (10.0, False, 0, 50),
        (59.999, False, 0, 1),
        # Exactly one window after the first, which no longer counts.
        (60.0, True, 0, 10),
        (69.5, False, 0, 1),
        (70.0, True, 0, 50),
        (1000.0, True, 1, 60),
    ]
    for now, *expected in table:
        assert await window.hit("a", now) == Decision(*expected), now


async def test_a_fixed_windows_double_burst_does_not_pass() -> None:
    window = SlidingWindow(limit=10, window=60, max_clients=10)
    hits = [await window.hit("a", now) for now in [59.0] * 10 + [61.0] * 10]
    assert sum(hit.allowed for hit in hits) == 10


async def test_refused_requests_do_not_count() -> None:
    window = SlidingWindow(limit=1, window=60, max_clients=10)
    await window.hit("a", 0.0)
    for second in range(1, 60):
        assert not (await window.hit("a", float(second))).allowed

    assert (await window.hit("a", 60.0)).allowed


@pytest.mark.parametrize(
    "first",
    [
        0.0,
        0.1,
        1 / 3,
        12345.678901234567,
        1e9 + 0.7,
    ],
)
async def test_a_request_counts_until_the_last_instant_of_its_window(
    first: float,
) -> None:
    window = SlidingWindow(limit=1, window=60, max_clients=10)
    await window.hit("a", first)
    assert not (await window.hit("a", math.nextafter(first + 60, 0.0))).allowed
    assert (await window.hit("a", first + 60)).allowed


async def test_clients_do_not_count_for_each_other() -> None:
    window = SlidingWindow(limit=1, window=60, max_clients=10)
    allowed = [(await window.hit(client, 0.0)).allowed for client in "abab"]
    assert allowed == [True, True, False, False]


@pytest.mark.parametrize("seed", range(20))
async def test_it_agrees_with_counting_by_brute_force(seed: int) -> None:
    random_ = random.Random(seed)
    limit = random_.randint(1, 5)
    length = random_.randint(1, 20)
    window = SlidingWindow(limit, length, max_clients=100)
    accepted: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    now = 1000.0

    for _ in range(500):
        # Steps of 1/64 s: floats hold them exactly, as the edges of a
        # window need.
        steps = [
            0.0,
            0.125,
            1.0,
            float(length),
            random_.randint(0, 128 * length // limit) / 64,
        ]
        now += random_.choice(steps)
        client = random_.choice("abc")
        inside = [time for time in accepted[client] if now - length < time <= now]
        decision = await window.hit(client, now)
        assert decision.allowed == (len(inside) < limit)

        if decision.allowed:
            accepted[client].append(now)
            inside.append(now)

        assert decision.remaining == limit - len(inside)
        assert inside[0] + length <= now + decision.reset < inside[0] + length + 1


@pytest.mark.parametrize("seed", range(20))
async def test_waiting_for_reset_always_succeeds(seed: int) -> None:
    random_ = random.Random(seed)
    for _ in range(200):
        window = SlidingWindow(limit=1, window=random_.randint(1, 100), max_clients=1)
        now = random_.random() * 10 ** random_.randint(0, 9)
        await window.hit("a", now)

        now += random_.random() * window.window * 0.999
        refused = await window.hit("a", now)
        if not refused.allowed:
            assert 1 <= refused.reset <= window.window
            assert (await window.hit("a", now + refused.reset)).allowed


@pytest.mark.parametrize(
    ("length", "first", "now"),
    [
        (62, 11.051550671166732, 18.05155067116673),
        (16, 0.6748244045062274, 9.674824404506227),
    ],
)
async def test_waiting_for_reset_succeeds_where_floating_point_rounds_down(
    length: int, first: float, now: float
) -> None:
    window = SlidingWindow(limit=1, window=length, max_clients=1)
    await window.hit("a", first)
    refused = await window.hit("a", now)
    assert (await window.hit("a", now + refused.reset)).allowed


async def test_a_day_of_traffic() -> None:
    window = SlidingWindow(limit=10, window=60, max_clients=100)
    admitted = 0
    for second in range(0, 86_400, 5):
        decision = await window.hit("a", float(second))
        admitted += decision.allowed
    assert admitted == 86_400 // 60 * 10


async def test_only_an_accepted_request_keeps_a_client_from_being_forgotten() -> None:
    window = SlidingWindow(limit=1, window=60, max_clients=2)
    table = [
        (0.0, "a", True),
        (1.0, "b", True),
        (2.0, "a", False),
        (3.0, "c", True),
        (4.0, "b", False),
    ]
    for now, client, allowed in table:
        assert (await window.hit(client, now)).allowed is allowed
    # It was forgotten for c, in spite of its request at 2.0, a refused
    # one.
    assert (await window.hit("a", 5.0)).allowed

    window = SlidingWindow(limit=2, window=60, max_clients=2)
    for now, client in [(0.0, "a"), (1.0, "b"), (2.0, "a"), (3.0, "c")]:
        await window.hit(client, now)
    # It is remembered: b was accepted longer ago.
    assert not (await window.hit("a", 4.0)).allowed
    assert (await window.hit("b", 5.0)).remaining == 1


async def test_never_more_than_max_clients_are_held() -> None:
    window = SlidingWindow(limit=1, window=60, max_clients=3)
    for client in range(1000):
        await window.hit(str(client), 0.0)
    assert window.forget_idle(60.0, at_most=1000) == 3


async def test_the_least_recently_accepted_client_is_forgotten_first() -> None:
    window = SlidingWindow(limit=1, window=60, max_clients=2)
    for now, client in enumerate("abc"):
        assert (await window.hit(client, float(now))).allowed

    assert not (await window.hit("b", 4.0)).allowed
    assert not (await window.hit("c", 4.0)).allowed

    # It had been forgotten; now b is.
    assert (await window.hit("a", 4.0)).allowed
    assert (await window.hit("b", 5.0)).allowed


async def test_idle_clients_are_forgotten_a_window_after_their_last_request() -> None:
    window = SlidingWindow(limit=5, window=60, max_clients=10)
    for now, client in enumerate("abca"):
        await window.hit(client, float(now))

    assert window.forget_idle(60.999, at_most=10) == 0
    assert window.forget_idle(62.0, at_most=1) == 1
    assert window.forget_idle(62.0, at_most=10) == 1
    assert window.forget_idle(63.0, at_most=10) == 1
    assert window.forget_idle(1000.0, at_most=10) == 0


async def test_idle_clients_are_gone_from_memory_at_the_exact_edge() -> None:
    window = SlidingWindow(limit=5, window=60, max_clients=10)
    await window.hit("a", 0.1)
    assert window.forget_idle(math.nextafter(60.1, 0.0), at_most=10) == 0
    assert window.forget_idle(60.1, at_most=10) == 1


async def test_the_lock_keeps_looking_and_counting_together() -> None:
    window = SlidingWindow(limit=1, window=60, max_clients=10)
    async with window._lock:
        hits = [asyncio.create_task(window.hit("a", 0.0)) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(hit.done() for hit in hits)
        # Neither has counted.
        assert not window._accepted

    assert [(await hit).allowed for hit in hits] == [True, False]


async def test_the_log_of_a_client_is_a_deque_of_its_requests_in_the_window() -> None:
    window = SlidingWindow(limit=2, window=60, max_clients=10)
    for now in (0.0, 30.0, 60.0):
        await window.hit("a", now)
    assert dict(window._accepted) == {"a": deque([30.0, 60.0])}


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("10.0.0.7", "10.0.0.7"),
        # Other IPv6 by its /64.
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002:FFFF::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("::", "::/64"),
        ("::10.0.0.7", "::/64"),
        ("fec0::1", "fec0::/64"),
        # IPv4-mapped.
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("::FFFF:10.0.0.7", "10.0.0.7"),
        ("::ffff:a00:7", "10.0.0.7"),
        ("0:0:0:0:0:ffff:0a00:0007", "10.0.0.7"),
        ("::ffff:10.0.0.7%eth0", "10.0.0.7"),
        ("::fffe:10.0.0.7", "::/64"),
        # NAT64.
        ("64:ff9b::10.0.0.7", "10.0.0.7"),
        ("64:FF9B::a00:7", "10.0.0.7"),
        ("0064:ff9b:0:0:0:0:a00:8", "10.0.0.8"),
        ("64:ff9b::1:a00:7", "64:ff9b::/64"),
        ("64:ff9b:1::10.0.0.7", "64:ff9b:1::/64"),
        # Link-local, with its zone.
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("FE80:0::0001%eth0", "fe80::1%eth0"),
        ("fe80::1%eth1", "fe80::1%eth1"),
        ("fe80::2%eth0", "fe80::2%eth0"),
        ("fe80::1", "fe80::1"),
        ("febf:ffff::1", "febf:ffff::1"),
        ("fe80::1%", "fe80::1%"),
        # With a port.
        ("10.0.0.7:80", "10.0.0.7"),
        ("10.0.0.7:81", "10.0.0.7"),
        ("[2001:db8:1:2::3]:80", "2001:db8:1:2::/64"),
        ("[2001:DB8:1:2::3]", "2001:db8:1:2::/64"),
        ("[::ffff:10.0.0.7]:80", "10.0.0.7"),
        ("[::ffff:10.0.0.7%eth0]:80", "10.0.0.7"),
        ("[64:ff9b::10.0.0.7]:80", "10.0.0.7"),
        ("[fe80::1%eth0]:80", "fe80::1%eth0"),
        # No addresses: by their text.
        ("testclient", "testclient"),
        ("testclient:80", "testclient"),
        ("/run/tasks.sock", "/run/tasks.sock"),
        ("not:an:address", "not:an:address"),
        ("[not:an:address", "[not:an:address"),
        ("", ""),
        (None, ""),
    ],
)
def test_whom_an_address_counts_as(host: str | None, client: str) -> None:
    assert client_key(host) == client
