"""Wrong answers to 12-shutdown-and-faults.

Each has words of the complaint that it must get.
"""

import asyncio
import contextlib
import time

WRONG: dict[str, list[tuple[object, str]]] = {
    "restarts": [
        ([1, 2, 4, 8, 16, 30, 30], "those are the pauses"),
        ([0, 1, 3, 7, 15, 31, 61], "for the first time"),
        ([1, 3, 7, 15, 31, 63, 127], "no pause is longer than 30 s"),
        ([1, 3, 7, 15, 31, 61], "give all seven numbers"),
        ([1, 3, 6, 10, 15, 21, 28], "then 2, 4, 8 and 16 s"),
    ],
    "gone_after": [
        ((3, 0), "the first of the polls"),
        ((10, 0), "begun before the signal"),
        ((9, 2), "2 s is the promise"),
        ((9, 9), "ours answers all polls"),
        ((0, 0), "waits for the poll that was begun last"),
    ],
}


async def never_again(loop):
    await loop()


async def does_nothing(loop):
    pass


async def at_once(loop):
    while True:
        with contextlib.suppress(Exception):
            await loop()


async def always_one_second(loop):
    while True:
        with contextlib.suppress(Exception):
            await loop()
        await asyncio.sleep(1)


async def without_a_bound(loop):
    pause = 1
    while True:
        with contextlib.suppress(Exception):
            await loop()
        await asyncio.sleep(pause)
        pause *= 2


async def stops_at_16(loop):
    pause = 1
    while True:
        with contextlib.suppress(Exception):
            await loop()
        await asyncio.sleep(pause)
        pause = min(2 * pause, 16)


async def swallows_cancellation(loop):
    pause = 1
    while True:
        try:
            await loop()
        except BaseException:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 30)


def pause_for(seconds):
    time.sleep(seconds)


async def stops_everything(loop):
    while True:
        with contextlib.suppress(Exception):
            await loop()
        pause_for(1)


WRONG["keep_alive"] = [
    (never_again, "not started again"),
    (does_nothing, "never runs the loop"),
    (at_once, "does not pause"),
    (always_one_second, "not 1, 2, 4"),
    (without_a_bound, "30 s is to be the longest"),
    (stops_at_16, "should be 30 s"),
    (swallows_cancellation, "CancelledError has to pass"),
    (stops_everything, "time.sleep stops the whole event loop"),
]
