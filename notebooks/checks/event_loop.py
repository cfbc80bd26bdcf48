"""Checks for 01-event-loop."""

import asyncio
from typing import Any

from notebooks import lab
from notebooks.checks import exercise


@exercise("Between two of these moments nobody runs, so the loop may jump to the next.")
def moments(answer: Any) -> None:
    assert ... not in answer, "put numbers in place of the dots."
    given = [float(moment) for moment in answer]
    assert 15 not in given, "two sleeps of 5 s end at 5 s and at 10 s."
    assert 0 in given, "everybody runs for the first time at 0 s."
    assert len(set(given)) == len(given), "name each moment once."
    assert 10 in given, "somebody gets up at 10 s: two of them, in fact."
    assert sorted(given) == [0, 5, 7, 10], (
        f"not {sorted(given)}: add up the sleeps of each Task on its own."
    )


@exercise(
    "A Task is under way once it is created; to await it is only to wait for its end."
)
def gather(answer: Any) -> None:
    seen: list[str] = []

    async def part(name: str, seconds: float) -> str:
        seen.append(f"{name} begins")
        await asyncio.sleep(seconds)
        return name

    async def attempt() -> tuple[Any, float]:
        begun = lab.now()
        parts = (part("a", 10), part("b", 5), part("c", 7))
        return await answer(asyncio.create_task, *parts), lab.now() - begun

    told, took = lab.run(attempt(), limit=1000)
    assert len(seen) == 3, f"it begins {len(seen)} of three coroutines."
    assert isinstance(told, list), f"it returns {told!r:.60}, not a list."
    pending = [each for each in told if isinstance(each, asyncio.Task)]
    assert not pending, "it returns Tasks: await each of them for its result."
    assert sorted(told) == ["a", "b", "c"], f"it returns {told!r:.60}."
    assert told == ["a", "b", "c"], (
        f"it returns {told}: the order is that in which they were given."
    )
    assert took < 22, (
        f"it takes {took:.0f} s, not 10: one after the other. Create all Tasks before "
        "you await the first."
    )
    assert took == 10, f"it takes {took:.0f} s, not 10: let all run side by side."
