"""Checks for 01-event-loop."""

import asyncio
from typing import Any

from notebooks import lab
from notebooks.checks import exercise, numbers_of


@exercise(
    "A create_task begins and goes on at once; only an await stands still, "
    "and for what has ended already it does not even do that."
)
def ends(answer: Any) -> None:
    first, second = numbers_of(answer, 2)
    assert first != 7, (
        "first ends before 7 s: create_task begins the job of 4 s, and does not wait "
        "for it."
    )
    assert first != 3, "at 3 s first has yet to await slow, which takes until 4 s."
    assert first == 4, (
        f"not {first} s for first: the job of 4 s runs from 0 s, beside the other two."
    )

    assert second not in (4, 5), (
        f"not {second} s for second: await slow stands still until its end, and the "
        "job of 2 s begins after that."
    )
    assert second != 6, (
        "not 6 s for second: the job of 4 s begins when that of 1 s has ended."
    )
    assert second == 7, (
        f"not {second} s for second: each of its three jobs begins where the one "
        "before has ended."
    )


@exercise(
    "First begin all, then wait for each: whichever is awaited first, the others "
    "run meanwhile, and their results are kept."
)
def gather(answer: Any) -> None:
    begun: list[int] = []

    async def job(seconds: int) -> int:
        begun.append(seconds)
        await asyncio.sleep(seconds)
        return seconds * 10

    jobs = [job(3), job(1), job(2)]

    async def story() -> tuple[Any, float]:
        start = lab.now()
        results = await answer(*jobs)
        return results, lab.now() - start

    try:
        results, seconds = lab.run(story(), limit=1000)
    finally:
        # What is left behind ends, and what never began is closed, so
        # that Python does not warn of it later.
        lab.run(asyncio.sleep(60))
        for each in jobs:
            each.close()

    assert begun, "it runs none of the coroutines."
    assert results is not None, "it returns nothing: return the list of results."
    assert seconds < 5.99, (
        f"jobs of 3, 1 and 2 s take {seconds:g} s, one after the other: begin all of "
        "them with create_task before you await the first."
    )
    assert not asyncio.isfuture(results), (
        f"it returns a {type(results).__name__}, not a list: await it."
    )
    assert isinstance(results, list), (
        f"it returns a {type(results).__name__}, not a list."
    )

    assert not any(isinstance(each, asyncio.Future) for each in results), (
        "it returns Tasks, not what they return: await each of them."
    )
    assert sorted(map(str, results)) == ["10", "20", "30"], (
        f"the jobs return 30, 10 and 20, and it returns {results}."
    )
    assert list(results) == [30, 10, 20], (
        f"it returns {results}, in the order in which they end; the order given is "
        "30, 10, 20."
    )
    assert seconds < 3.01, f"jobs of 3, 1 and 2 s take {seconds:.3g} s, not 3."

    try:
        nothing = lab.run(answer())
    except ValueError as error:
        raise AssertionError(
            f"of no coroutines it makes no [], but raises ValueError: {error}"
        ) from None
    assert nothing == [], f"of no coroutines it makes {nothing!r:.60}, not []."
