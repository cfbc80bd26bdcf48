"""Wrong answers to 15-outgrowing-one-machine.

Each has words of the complaint that it must get.
"""

import asyncio
import ipaddress
import random
import zlib
from concurrent.futures import BrokenExecutor

from taskmanager.ratelimit import client_key

WRONG: dict[str, list[tuple[object, str]]] = {
    "sizing": [
        ((600, 2.4, 3), "busy all of their time"),
        ((6667, 2.4, 3), "under way = 2,000 a second"),
        ((1200, 2.4e9, 3), "the number of bytes"),
        ((1200, 0.004, 3), "kept for 600"),
        ((1200, 4.8, 3), "not 4.8 GB"),
        ((1200, 2.4, 2), "two thirds of their time"),
        ((1200, 2.4, 8 / 3), "round up"),
        ((1200, 2.4, 1), "not 1 processes"),
    ],
}


def hashed(address):
    return zlib.crc32(client_key(address).encode())


def nowhere(address, shards):
    return None


def of_seven(address, shards):
    return hashed(address) % 7


def from_one(address, shards):
    return hashed(address) % shards + 1


def at_random(address, shards):
    return random.randrange(shards)


def by_hash(address, shards):
    return hash(address) % shards


def by_hash_of_the_client(address, shards):
    return hash(client_key(address)) % shards


def by_address(address, shards):
    return zlib.crc32(address.encode()) % shards


def by_last_number(address, shards):
    _, _, last = address.rpartition(".")
    return int(last) % shards


def by_last_digit(address, shards):
    if "." not in address:
        return 0
    return int(address[-1], 16) % shards


def all_on_one(address, shards):
    return 0


def by_number(address, shards):
    network = ipaddress.ip_network(client_key(address))
    return int(network.network_address) % shards


MET = {}


def in_the_order_met(address, shards):
    return MET.setdefault(client_key(address), len(MET)) % shards


WRONG["shard_of"] = [
    (nowhere, "not a whole number"),
    (of_seven, "they are 0 to"),
    (from_one, "they are 0 to"),
    (at_random, "does not always get the same"),
    (by_hash, "differs from process to process"),
    (by_hash_of_the_client, "differs from process to process"),
    (by_address, "one IPv6 /64"),
    (by_last_number, "it raises ValueError"),
    (by_last_digit, "end in .1"),
    (all_on_one, "about a quarter is fair"),
    (by_number, "end in .1"),
    (in_the_order_met, "goes to whoever comes first"),
]


async def outcome_of(piece, attempt, allowed, again=BrokenExecutor):
    for _ in range(allowed + 1):
        try:
            return await attempt(piece)
        except again as error:
            last = error
        except Exception as error:
            return error
    return last


async def one_after_the_other(pieces, attempt, allowed=3):
    return [await outcome_of(piece, attempt, allowed) for piece in pieces]


async def as_they_come(pieces, attempt, allowed=3):
    calls = [outcome_of(piece, attempt, allowed) for piece in pieces]
    return [await call for call in asyncio.as_completed(calls)]


def all_at_once(more=0, fixed=None, again=BrokenExecutor):
    async def answer(pieces, attempt, allowed=3):
        limit = (allowed if fixed is None else fixed) + more
        calls = [outcome_of(piece, attempt, limit, again) for piece in pieces]
        return await asyncio.gather(*calls)

    return answer


async def raises_what_comes(pieces, attempt, allowed=3):
    return await asyncio.gather(*map(attempt, pieces))


async def keeps_what_comes(pieces, attempt, allowed=3):
    return await asyncio.gather(*map(attempt, pieces), return_exceptions=True)


async def all_again(pieces, attempt, allowed=3):
    for _ in range(allowed + 1):
        calls = map(attempt, pieces)
        found = await asyncio.gather(*calls, return_exceptions=True)
        if not any(isinstance(each, BrokenExecutor) for each in found):
            break
    return found


async def counts_for_all(pieces, attempt, allowed=3):
    deaths = 0

    async def outcome(piece):
        nonlocal deaths
        while True:
            try:
                return await attempt(piece)
            except BrokenExecutor as error:
                deaths += 1
                if deaths > allowed:
                    return error
            except Exception as error:
                return error

    return await asyncio.gather(*map(outcome, pieces))


async def poison_for_ever(pieces, attempt, allowed=3):
    return await all_at_once(fixed=1000)(pieces, attempt)


async def gives_nothing(pieces, attempt, allowed=3):
    found = await all_at_once()(pieces, attempt, allowed)
    return [None if isinstance(each, Exception) else each for each in found]


async def raises_at_the_end(pieces, attempt, allowed=3):
    found = await all_at_once()(pieces, attempt, allowed)
    for each in found:
        if isinstance(each, Exception):
            raise each
    return found


async def returns_nothing(pieces, attempt, allowed=3):
    await all_at_once()(pieces, attempt, allowed)


WRONG["hand_out"] = [
    (returns_nothing, "it returns None"),
    (as_they_come, "come as"),
    (one_after_the_other, "one after the other"),
    (raises_what_comes, "it raises BrokenExecutor"),
    (keeps_what_comes, "is not attempted again"),
    (all_again, "a piece that was done is done again"),
    (counts_for_all, "three workers have died, which is allowed"),
    (all_at_once(more=-1), "three workers have died, which is allowed"),
    (all_at_once(more=1), "attempted 5 times"),
    (poison_for_ever, "without an end"),
    (all_at_once(fixed=3), "with allowed=0, a poison piece is attempted 4 times"),
    (gives_nothing, "is None, not the exception"),
    (raises_at_the_end, "gives no result of the other"),
    (all_at_once(again=Exception), "that raises ValueError is attempted 4 times"),
]
