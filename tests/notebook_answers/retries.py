"""Wrong answers to 07-they-all-come-back.

Each has words of the complaint that it must get.
"""

import asyncio
import random

WRONG: dict[str, list[tuple[object, str]]] = {
    "amplified": [
        ((..., ...), "in place of the dots"),
        ((9, 3), "does not add up"),
        ((81, 3), "count the layers again"),
        ((6, 3), "not 6 where each tries again"),
        ((27, 9), "not 9 where only the first"),
    ]
}


def bound_of(refusals):
    return min(20.0, 0.5 * 2 ** min(refusals - 1, 10))


def regular(refusals, chance):
    return 0.5


def returns_nothing(refusals, chance):
    pass


def no_jitter(refusals, chance):
    return bound_of(refusals)


def half_jitter(refusals, chance):
    return chance.uniform(bound_of(refusals) / 2, bound_of(refusals))


def added_jitter(refusals, chance):
    return bound_of(refusals) + chance.uniform(0, 1)


def both_ways(refusals, chance):
    return chance.uniform(-1, 1) * bound_of(refusals)


def unbounded(refusals, chance):
    return chance.uniform(0, 0.5 * 2 ** (refusals - 1))


def never_doubles(refusals, chance):
    return chance.uniform(0, 0.5)


def whole_seconds(refusals, chance):
    return round(chance.uniform(0, bound_of(refusals)))


def overflows(refusals, chance):
    return chance.uniform(0, min(20.0, 0.5 * 2.0 ** (refusals - 1)))


def takes_chance_from_elsewhere(refusals, chance):
    return random.uniform(0, bound_of(refusals))


def stops_at_nineteen(refusals, chance):
    return chance.uniform(0, min(19, bound_of(refusals)))


WRONG["pause"] = [
    (regular, "come back together"),
    (returns_nothing, "not a number"),
    (no_jitter, "come back together"),
    (half_jitter, "begins at 0"),
    (added_jitter, "the bound is 0.5 s"),
    (both_ways, "in the past"),
    (unbounded, "after 7 refusals the bound is 20 s"),
    (never_doubles, "nobody waits for more than"),
    (whole_seconds, "come back together"),
    (overflows, "it raises OverflowError"),
    (takes_chance_from_elsewhere, "take it from the argument"),
    (stops_at_nineteen, "after 7 refusals the bound is 20 s, and nobody waits"),
]


class Right:
    def __init__(self, every, saved):
        self.every = every
        self.most = every * saved
        self.parts = self.most

    def sent(self):
        self.parts = min(self.most, self.parts + 1)

    def may_retry(self):
        if self.parts < self.every:
            return False
        self.parts -= self.every
        return True


class Always(Right):
    def may_retry(self):
        return True


class Says(Right):
    def may_retry(self):
        super().may_retry()


class BeginsEmpty(Right):
    def __init__(self, every, saved):
        super().__init__(every, saved)
        self.parts = 0


class OnePerRequest(Right):
    def sent(self):
        self.parts = min(self.most, self.parts + self.every)


class EarnsNothing(Right):
    def sent(self):
        pass


class TakesNothing(Right):
    def may_retry(self):
        allowed = self.parts >= self.every
        self.parts -= 1
        return allowed


class SavesAll(Right):
    def sent(self):
        self.parts += 1


class AlwaysTen(Right):
    def __init__(self, every, saved):
        super().__init__(10, saved)


class AddsUpFloats:
    def __init__(self, every, saved):
        self.share = 1 / every
        self.most = self.left = saved

    def sent(self):
        self.left = min(self.most, self.left + self.share)

    def may_retry(self):
        allowed = self.left >= 1
        self.left -= allowed
        return allowed


class SendsAsynchronously(Right):
    async def sent(self):
        pass


WRONG["AnyBudget"] = [
    (Always, "a fourth"),
    (Says, "returns nothing"),
    (BeginsEmpty, "it allows 0"),
    (OnePerRequest, "after 9 requests"),
    (EarnsNothing, "after 10 requests it allows no retry"),
    (TakesNothing, "a fourth"),
    (SavesAll, "it saves up 50"),
    (AlwaysTen, "one in 4"),
    (AddsUpFloats, "count in whole numbers"),
    (SendsAsynchronously, "sent is an async def"),
]


async def at_least_once(key, work, begun):
    return await work()


async def notes_it_afterwards(key, work, begun):
    if key not in begun:
        begun[key] = await work()
    return begun[key]


async def one_key_for_all(key, work, begun):
    return await begun.setdefault("key", asyncio.ensure_future(work()))


async def tells_the_first_only(key, work, begun):
    if key in begun:
        return None
    begun[key] = True
    return await work()


async def has_no_result_yet(key, work, begun):
    if key in begun:
        return begun[key]
    begun[key] = None
    begun[key] = await work()
    return begun[key]


async def takes_none_for_missing(key, work, begun):
    lock = begun.setdefault(("lock", key), asyncio.Lock())
    async with lock:
        if begun.get(key) is None:
            begun[key] = await work()
        return begun[key]


async def remembers_failures(key, work, begun):
    if key not in begun:
        begun[key] = asyncio.ensure_future(work())
    return await begun[key]


async def fails_one_by_one(key, work, begun):
    lock = begun.setdefault(("lock", key), asyncio.Lock())
    async with lock:
        if key not in begun:
            begun[key] = await work()
        return begun[key]


async def forgets_at_the_end(key, work, begun):
    if key not in begun:
        begun[key] = asyncio.ensure_future(work())
    try:
        return await begun[key]
    finally:
        begun.pop(key, None)


ELSEWHERE = {}


async def keeps_it_elsewhere(key, work, begun):
    if key not in ELSEWHERE:
        ELSEWHERE[key] = asyncio.ensure_future(work())
    run = ELSEWHERE[key]
    try:
        return await run
    except Exception:
        ELSEWHERE.pop(key, None)
        raise


WRONG["once"] = [
    (at_least_once, "the work is done again"),
    (notes_it_afterwards, "it is done twice"),
    (one_key_for_all, "under another key"),
    (tells_the_first_only, "a second submission gets None"),
    (has_no_result_yet, "get ['first', None]"),
    (takes_none_for_missing, "is the key there"),
    (remembers_failures, "its key is not free again"),
    (fails_one_by_one, "and it is done twice"),
    (forgets_at_the_end, "the work is done again"),
    (keeps_it_elsewhere, "elsewhere than in begun"),
]
