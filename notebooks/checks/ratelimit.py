"""Checks for 06-rate-limiting."""

import random
from collections import deque
from typing import Any

from notebooks.checks import exercise, numbers_of


@exercise(
    "The log counts in any window; a bucket keeps to five too if its size and its "
    "refill a minute add up to five."
)
def bursts(answer: Any) -> None:
    fixed, log, bucket = numbers_of(answer, 3)

    assert fixed == 10, (
        f"not {fixed} with a fixed window: five just before a full minute, and five "
        "just after it."
    )

    assert log == 5, (
        f"not {log} with a sliding window log: it is about any window, so nothing "
        "passes beyond its five."
    )

    assert bucket != 5, (
        "a bucket that was full lets five pass, and those that come back meanwhile as "
        "well."
    )
    assert bucket != 10, (
        "the fifth to come back comes 60 s after the burst, which has just left the "
        "window by then."
    )
    assert bucket == 9, (
        f"not {bucket} with a token bucket: five in a burst, and what comes back in "
        "less than 60 s."
    )


class _Times(deque[float]):
    """A log that ends loops which would never end."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        assert self.looks < 100_000, (
            "it looks at times again and again, and takes nothing out."
        )
        return super().__getitem__(index)


@exercise(
    "Exactness is paid for in memory: one time for each accepted request in the "
    "window, and never more than the limit.",
    plain=True,
)
def hit(answer: Any) -> None:
    times = _Times()
    first = [answer(times, now, 2, 60) for now in (0.0, 10.0)]
    assert None not in first, "it returns nothing: return True or False."
    assert all(first), "it refuses a request though there is room for it."
    assert list(times) == [0.0, 10.0], (
        f"after requests at 0 and 10 s, times should be [0.0, 10.0], not {list(times)}."
    )

    third = answer(times, 10.0, 2, 60)
    assert third is not None, "where it refuses, it returns None: return False."
    assert not third, "it accepts a third request where two a minute are allowed."
    assert list(times)[:2] == [0.0, 10.0], (
        "it drops a request which is still in the window."
    )
    assert list(times) == [0.0, 10.0], (
        "a refused request does not count, and has no place in times."
    )

    assert not answer(times, 59.999, 2, 60), (
        "at 59.999 s the request from 0 s is still in the window."
    )
    assert answer(times, 60.0, 2, 60), (
        "at 60 s the request from 0 s has just left the window, which is half-open."
    )
    assert not answer(times, 69.0, 2, 60), (
        "at 69 s those from 10 and 60 s are in the window: at 60 s it forgot too much."
    )

    assert answer(times, 500.0, 2, 60), (
        "it refuses a request after all others have left the window."
    )
    assert list(times) == [500.0], (
        f"what has left the window should leave times, which is {list(times)} at 500 s."
    )

    _try_at_random(answer)


def _try_at_random(answer: Any) -> None:
    dice = random.Random(5)
    times = _Times()
    accepted: list[float] = []
    now = 0.0
    for _ in range(300):
        now += dice.choice([0.0, 0.5, 2.0, 10.0, 20.0])
        inside = sum(now - 20 < time <= now for time in accepted)
        allowed = answer(times, now, 4, 20)
        assert bool(allowed) == (inside < 4), (
            f"with 4 allowed in 20 s and {inside} accepted in the last 20 s, it "
            f"returns {allowed}."
        )
        if allowed:
            accepted.append(now)


@exercise(
    "There is room again when the oldest request leaves the window, so a client that "
    "waits just so long is accepted.",
    plain=True,
)
def wait(answer: Any) -> None:
    for times in (_Times(), _Times([0.0])):
        told = answer(times, 5.0, 2, 60)
        assert told == 0, f"where there is room it should be 0, not {told}."

    told = answer(_Times([0.0, 10.0]), 15.0, 2, 60)
    assert told != 55, (
        "in 55 s the newest request leaves the window; room is made when the oldest "
        "does."
    )
    assert told == 45, (
        "at 15 s, with two allowed in 60 s and accepted at 0 and 10 s, it should be "
        f"45, not {told}."
    )

    for now in (15.25, 15.75):
        told = answer(_Times([0.0, 10.0]), now, 2, 60)
        assert told == int(told), f"it should be whole seconds, not {told}."
        assert told >= 45, f"at {now} s, waiting for {told} s is not enough: round up."
        assert told == 45, f"at {now} s, {told} is a second too many."

    dice = random.Random(1)
    short = long = 0
    for _ in range(100_000):
        first = dice.uniform(0, 1000)
        now = first + dice.randrange(60)
        told = answer(_Times([first]), now, 1, 60)
        if first + 60 > now + told:
            short += 1
        # The rest is a whole number of seconds, but for a digit.
        elif told > 60 - (now - first) + 1.5:
            long += 1
    assert not short, (
        f"in {short} of 100,000 cases it is not enough, by the last digit of a float. "
        "Check that first + window <= now + seconds."
    )
    assert not long, f"in {long} of 100,000 cases it is a second too many."


@exercise(
    "It decides as the bucket does, in 60,000 of 60,000 cases, and keeps one number "
    "where the bucket keeps two.",
    plain=True,
)
def gcra(answer: Any) -> None:
    allowed, tat = _decision(answer, 0.0, 0.0, 10, 60)
    assert allowed, "it refuses the first request of all."
    assert tat == 6.0, (
        "with ten a minute, the first request, at 0 s, should move tat to 6.0, not to "
        f"{tat!r:.40}."
    )

    _, tat = _decision(answer, 6.0, 100.0, 10, 60)
    assert tat == 106.0, (
        "at 100 s, a tat of 6.0 lies in the past, so it moves to 106.0, not to "
        f"{tat!r:.40}: a bucket that is full gets no fuller."
    )

    tat = 0.0
    for number in range(1, 11):
        allowed, tat = _decision(answer, tat, 0.0, 10, 60)
        assert allowed, f"of ten requests at once, it refuses number {number}."

    allowed, after = _decision(answer, tat, 0.0, 10, 60)
    assert not allowed, "it accepts an eleventh request at once."
    assert after == tat, "a refused request must not move tat."

    allowed, _ = _decision(answer, tat, 5.75, 10, 60)
    assert not allowed, "after a burst at 0 s, it accepts one at 5.75 s: too early."
    allowed, _ = _decision(answer, tat, 6.0, 10, 60)
    assert allowed, "after a burst at 0 s, it refuses one at 6 s."
    _compare_with_a_bucket(answer)


def _decision(
    answer: Any, tat: float, now: float, limit: int, window: int
) -> tuple[Any, Any]:
    given = answer(tat, now, limit, window)
    assert given is not None, (
        "it returns nothing: return whether it is accepted, and tat."
    )
    assert isinstance(given, tuple | list), (
        f"return two things, like (True, 6.0), not {given!r:.40}."
    )
    assert len(given) == 2, f"return two things, like (True, 6.0), not {len(given)}."
    allowed, after = given
    return allowed, after


def _compare_with_a_bucket(answer: Any) -> None:
    """Sixty thousand decisions, at quarters of a second.

    Floats are exact then.
    """
    dice = random.Random(3)
    for limit in (5, 8, 10):
        price = 60 / limit
        credit = 60.0
        now = tat = 0.0
        for _ in range(20_000):
            pause = dice.choice([0.0, 0.25, 1.5, 6.0, 12.0, 90.0])
            now += pause
            credit = min(60.0, credit + pause)
            expected = credit >= price
            if expected:
                credit -= price

            allowed, tat = _decision(answer, tat, now, limit, 60)
            assert bool(allowed) == expected, (
                f"at {now} s, with {limit} a minute and {credit} s of credit, a token "
                f"bucket says {expected}, and it says {allowed}."
            )
