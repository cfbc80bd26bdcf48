"""Checks for 15-outgrowing-one-machine."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from itertools import pairwise
from math import isclose
from typing import Any
from unittest import mock

from notebooks import lab
from notebooks.checks import exercise, numbers_of

ENDLESS = "it attempts a piece again and again, without an end."


@exercise(
    "Each number is a rate times a time, as in Little's law, with twice the room "
    "where nothing may be busy for more than half."
)
def sizing(answer: Any) -> None:
    cores, gigabytes, processes = numbers_of(answer, 3)

    assert cores != 600, (
        "600 cores would be busy all of their time; give them twice the room."
    )
    assert isclose(cores, 1200), (
        f"not {cores} cores: under way = 2,000 a second times 0.3 s, each on half of a "
        "core."
    )

    assert gigabytes < 1e6, (
        "that is the number of bytes; give it in GB, of 10**9 bytes."
    )
    assert not isclose(gigabytes, 0.004), (
        "0.004 GB come in each second; they are kept for 600."
    )
    assert isclose(gigabytes, 2.4), (
        f"not {gigabytes} GB: 2,000 a second times 600 s times 2,000 bytes."
    )

    assert processes != 2, "two processes would be busy for two thirds of their time."
    assert processes == int(processes), (
        f"there is no such thing as {processes:.2f} processes: round up."
    )
    assert processes == 3, (
        f"not {processes} processes: 2,000 / 1,500, doubled, and rounded up."
    )


@exercise(
    "Every proxy sends a client to the same shard, so one shard sees all of its "
    "requests and can count them.",
    plain=True,
)
def shard_of(answer: Any) -> None:
    def found(address: str, shards: int = 4) -> int:
        shard = answer(address, shards)
        assert isinstance(shard, int), (
            f"for {address} it returns {shard!r:.40}, not a whole number."
        )
        assert 0 <= shard < shards, (
            f"for {address} and {shards} shards it returns {shard}: they are 0 to "
            f"{shards - 1}."
        )
        return shard

    found("10.0.0.1", 1)
    near = [f"10.0.{n // 250}.{n % 250}" for n in range(2000)]
    before = list(map(found, near))
    assert before == list(map(found, near)), (
        "the same address does not always get the same shard."
    )

    # This stands in for another process.
    with mock.patch("builtins.hash", lambda value: len(repr(value)) * 7):
        assert before == list(map(found, near)), (
            "hash() of a str differs from process to process, so two proxies disagree; "
            "see zlib.crc32 or hashlib."
        )

    # None of them has been asked for yet.
    new = [f"172.16.0.{n}" for n in range(200)]
    random.Random(1).shuffle(new)
    steps = {(after - before) % 4 for before, after in pairwise(map(found, new))}
    assert steps != {1}, (
        "a shard goes to whoever comes first, and to another proxy somebody else does: "
        "only the address may decide."
    )

    for n in range(50):
        network = f"2001:db8:0:{n:x}:"
        assert found(f"{network}:1") == found(f"{network}5::2"), (
            "two addresses of one IPv6 /64 are one client to the limiter, so they need "
            "the same shard."
        )

    _even(found, near, "10.0.0.0 to 10.0.7.249")
    routers = [f"10.{n // 250}.{n % 250}.1" for n in range(2000)]
    _even(found, routers, "that end in .1, as those of routers do,")
    networks = [f"2001:db8:{n:x}::1" for n in range(2000)]
    _even(found, networks, "of as many IPv6 networks")


def _even(found: Callable[[str], int], addresses: list[str], which: str) -> None:
    ((shard, most),) = Counter(map(found, addresses)).most_common(1)
    assert most < 0.4 * len(addresses), (
        f"of {len(addresses):,} addresses {which} shard {shard} of four gets {most:,}; "
        "about a quarter is fair."
    )


@exercise(
    "A piece that is at fault costs as many workers as are allowed, and one more; all "
    "others are done, if need be again."
)
def hand_out(answer: Any) -> None:
    lab.run(_hands_out(answer), limit=1000)


class _Workers:
    """Does pieces: a name, and how many workers die of it.

    ``refuses`` raises an exception of its own.
    """

    def __init__(self, deaths: dict[str, int]) -> None:
        self.left = dict(deaths)
        self.attempts: Counter[str] = Counter()

    async def attempt(self, piece: str) -> str:
        self.attempts[piece] += 1
        assert self.attempts[piece] <= 20, ENDLESS
        await asyncio.sleep(len(piece))
        if piece == "refuses":
            raise ValueError("not a number")
        if self.left[piece] > 0:
            self.left[piece] -= 1
            raise BrokenExecutor("a worker has died")
        return piece.upper()


async def _hands_out(answer: Any) -> None:
    begun = lab.now()
    workers = _Workers({"long one": 0, "b": 0, "cc": 0})
    found = await answer(["long one", "b", "cc"], workers.attempt)
    assert found is not None, "it returns None, not a list of results."
    assert list(found) == ["LONG ONE", "B", "CC"], (
        f"the results of the pieces 'long one', 'b' and 'cc' come as {found!r:.60}."
    )
    took = lab.now() - begun
    assert took < 9, (
        f"pieces of 8, 1 and 2 s take {took:g} s: it does one after the other."
    )

    workers = _Workers({"unlucky": 1, "b": 0})
    found = await _given(answer(["unlucky", "b"], workers.attempt))
    assert workers.attempts["unlucky"] > 1, (
        "a piece whose worker has died once is not attempted again."
    )
    assert found == ["UNLUCKY", "B"], (
        f"where one worker dies, the results of 'unlucky' and 'b' are {found!r:.60}."
    )
    assert workers.attempts["b"] == 1, (
        "a piece that was done is done again, since the worker of another has died."
    )

    # Three workers die of each, and that is allowed.
    workers = _Workers({"one": 3, "two": 3})
    found = await _given(answer(["one", "two"], workers.attempt))
    assert found == ["ONE", "TWO"], (
        f"of each of two pieces, three workers have died, which is allowed; the "
        f"results are {found!r:.60}."
    )

    await _poisoned(answer, 3)
    await _poisoned(answer, 0, allowed=0)
    await _refused(answer)


async def _poisoned(answer: Any, deaths: int, **options: int) -> None:
    workers = _Workers({"poison": 100, "b": 0})
    found = await _given(answer(["poison", "b"], workers.attempt, **options))
    attempts = workers.attempts["poison"]
    # Where it takes the assertion of the attempt for the piece's own.
    assert attempts <= 20, ENDLESS
    assert attempts == deaths + 1, (
        f"with allowed={deaths}, a poison piece is attempted {attempts} times: it "
        f"is given up when worker {deaths + 1} has died of it."
    )
    poisoned, other = found
    assert isinstance(poisoned, BrokenExecutor), (
        f"the result of a poison piece is {poisoned!r:.40}, not the exception."
    )
    assert other == "B", f"beside a poison piece, that of another is {other!r:.40}."


async def _refused(answer: Any) -> None:
    workers = _Workers({"b": 0})
    found = await _given(answer(["refuses", "b"], workers.attempt))
    attempts = workers.attempts["refuses"]
    assert attempts == 1, (
        f"a piece that raises ValueError is attempted {attempts} times: it would only "
        "do so again."
    )
    refused, other = found
    assert isinstance(refused, ValueError), (
        f"the result of a piece that raises ValueError is {refused!r:.40}."
    )
    assert other == "B", f"beside a piece that fails, that of another is {other!r:.40}."


async def _given(coroutine: Any) -> list[Any]:
    """What it returns; an exception of a piece is to be a result."""
    try:
        return list(await coroutine)
    except (BrokenExecutor, ValueError) as error:
        raise AssertionError(
            f"it raises {type(error).__name__}, and so gives no result of the other "
            "pieces."
        ) from None
