"""Checks for 12-shutdown-and-faults."""

import asyncio
from itertools import pairwise
from math import isclose
from typing import Any

from notebooks import lab
from notebooks.checks import exercise, numbers_of


@exercise(
    "The pauses grow so that a loop that keeps dying costs little, and no further "
    "than 30 s, so that it is soon back."
)
def restarts(answer: Any) -> None:
    times = list(numbers_of(answer, 7))
    assert times[:3] != [1, 2, 4], (
        "those are the pauses; a restart is at the sum of all the pauses before it."
    )
    assert times[:1] != [0], "at 0 it is started for the first time, not again."
    assert times[:5] == [1, 3, 7, 15, 31], (
        f"not {times[:5]}: a pause of 1 s, then 2, 4, 8 and 16 s, each after the last."
    )
    assert times[5:6] != [63], "no pause is longer than 30 s, so 63 is too late."
    assert times[5:6] == [61], f"after 31 comes 61, not {times[5:6]}."
    assert times[6:] == [91], (
        f"after 61 comes 91, and that is the seventh; you have {times[6:]}."
    )


@exercise(
    "It catches Exception only, so a cancellation, which is no Exception, gets "
    "through and ends it."
)
def keep_alive(answer: Any) -> None:
    starts: list[float] = []
    dies = RuntimeError("a bug in the loop")
    never = asyncio.Event()

    async def loop() -> None:
        starts.append(lab.now() - begun)
        # Enough is known, and one that is started again without a pause
        # has to wait some time.
        if len(starts) > 8:
            await never.wait()
        raise dies

    async def supervised() -> "asyncio.Task[Any]":
        task = asyncio.create_task(answer(loop))
        await asyncio.wait([task], timeout=200)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        return task

    begun = lab.now()
    task = lab.run(supervised())
    if not task.done():
        _NOT_TO_BE_GOT_RID_OF.append(task)

    if task.done() and not task.cancelled() and task.exception() is not dies:
        # What it raised says more.
        task.result()
    assert starts, "it never runs the loop."
    assert len(starts) > 1, "after the first death, the loop is not started again."

    pauses = [after - before for before, after in pairwise(starts)]
    shown = ", ".join(f"{pause:g}" for pause in pauses)
    assert any(pauses), (
        "it does not pause: a loop that dies at each start is started again and again, "
        "at once."
    )
    assert all(map(isclose, pauses[:5], [1, 2, 4, 8, 16])), (
        f"its pauses are {shown} s, not 1, 2, 4, 8, 16 and 30 s."
    )
    # The clock may be between two seconds, and floats a hair off.
    assert all(pause < 30.001 for pause in pauses), (
        f"its pauses are {shown} s; 30 s is to be the longest."
    )
    assert all(map(isclose, pauses[5:], [30] * 3)), (
        f"its pauses are {shown} s; from the sixth on they should be 30 s."
    )
    assert task.done(), "it cannot be got rid of: CancelledError has to pass."


# Else Python says at some time that they were still pending.
_NOT_TO_BE_GOT_RID_OF: list["asyncio.Task[Any]"] = []


@exercise(
    "Ours answers every waiting client at once with what it knows, so the stop need "
    "not wait for the longest poll."
)
def gone_after(answer: Any) -> None:
    naive, ours = numbers_of(answer, 2)

    assert naive != 3, (
        "3 s is when the first of the polls is over; the naive process waits for the "
        "last."
    )
    assert naive != 10, (
        "the polls were begun before the signal, so the last of them is over before 10 "
        "s."
    )
    assert naive == 9, (
        f"not {naive}: the naive process waits for the poll that was begun last, 1 s "
        "before the signal."
    )

    assert ours != 2, (
        "2 s is the promise; with no slow reader, nothing takes that long."
    )
    assert ours == 0, (
        f"not {ours}: ours answers all polls at the signal, and then has nothing to "
        "wait for."
    )
