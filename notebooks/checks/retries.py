"""Checks for 07-they-all-come-back."""

import asyncio
import random
from typing import Any

from notebooks import lab
from notebooks.checks import exercise, numbers_of, plain_methods


@exercise(
    "Retries of each layer multiply, so only one layer should try again: best the one "
    "that is nearest to the user."
)
def amplified(answer: Any) -> None:
    each, only_first = numbers_of(answer, 2)
    assert each != 9, "it does not add up: each of three attempts is tried three times."
    assert each == 27 or each != 81, (
        "the last of the three gets requests, and sends none: count the layers again."
    )
    assert each == 27, (
        f"not {each} where each tries again: the first service tries the next three "
        "times, and so do the others."
    )
    assert only_first == 3, (
        f"not {only_first} where only the first tries again: the others pass on, once."
    )


@exercise(
    "Full jitter uses the whole span from 0 to the bound; so the crowd is spread as "
    "thin as it can be.",
    plain=True,
)
def pause(answer: Any) -> None:
    chance = random.Random(7)
    for refusals, bound in ((1, 0.5), (2, 1.0), (4, 4.0), (6, 16.0), (7, 20.0)):
        after = f"after {refusals} refusal{'s' if refusals > 1 else ''}"
        pauses = [answer(refusals, chance) for _ in range(400)]
        assert all(isinstance(each, int | float) for each in pauses), (
            f"it returns {pauses[0]!r:.40}, not a number of seconds."
        )
        assert min(pauses) >= 0, f"it returns {min(pauses):.2f}: that lies in the past."
        assert max(pauses) <= bound, (
            f"{after} the bound is {bound:g} s, and it returns {max(pauses):.2f}."
        )
        assert len(set(pauses)) > 300, (
            f"{after}, 400 clients share a few pauses (different ones: "
            f"{len(set(pauses))}): they come back together."
        )
        assert min(pauses) < bound / 10, (
            f"{after}, nobody waits for less than {min(pauses):.2f} s: jitter that is "
            "full begins at 0."
        )
        assert max(pauses) > bound * 0.97, (
            f"{after} the bound is {bound:g} s, and nobody waits for more than "
            f"{max(pauses):.2f} s."
        )

    again = [answer(7, random.Random(1)) for _ in range(2)]
    assert again == [again[0]] * 2, (
        "its chance comes from elsewhere: take it from the argument, so that a test "
        "can repeat it."
    )
    try:
        late = answer(2000, chance)
    except OverflowError:
        raise AssertionError(
            "after 2,000 refusals it raises OverflowError, since 2**2000 is too large "
            "for a float: double no more once the bound is reached."
        ) from None
    assert 0 <= late <= 20, f"after 2,000 refusals it returns {late!r:.40}."


@exercise(
    "In calm times every failure is tried again; in a storm, retries add no more than "
    "their share to the load."
)
def AnyBudget(answer: Any) -> None:  # noqa: N802 - called like the answer
    plain_methods(answer, "sent", "may_retry")
    budget = answer(10, 3)
    first = [budget.may_retry() for _ in range(4)]
    assert None not in first, "may_retry returns nothing: return True or False."
    assert first[:3] == [True] * 3, (
        f"of the 3 that it begins with, it allows {sum(first[:3])}."
    )
    assert not first[3], "3 are saved, and it allows a fourth."

    for _ in range(9):
        budget.sent()
    assert not budget.may_retry(), (
        "where one in 10 may be a retry, it allows one after 9 requests."
    )
    budget.sent()
    if not budget.may_retry():
        budget.sent()
        assert not budget.may_retry(), (
            "it allows a retry after 11 requests, not after 10. Are they floats? Ten "
            "times 0.1, added up, is less than 1: count in whole numbers."
        )
        raise AssertionError("after 10 requests it allows no retry.")
    assert not budget.may_retry(), "10 requests pay for one retry, not for two."

    for _ in range(1000):
        budget.sent()
    saved = sum(budget.may_retry() for _ in range(50))
    assert saved == 3, f"it saves up {saved} retries, where 3 are the most."

    other = answer(4, 1)
    assert other.may_retry(), "a second budget is not independent of the first."
    for _ in range(4):
        other.sent()
    assert other.may_retry(), "where one in 4 may be a retry, 4 requests pay for none."


class WorkError(Exception):
    """What the work of an exercise raises."""


@exercise(
    "Note the key before the first await, and no second submission finds it missing, "
    "however early it comes."
)
def once(answer: Any) -> None:
    lab.run(_submissions(answer), limit=10_000)


async def _submissions(answer: Any) -> None:
    calls: list[str] = []
    begun: dict[Any, Any] = {}

    async def submit(key: str, result: Any) -> Any:
        async def work() -> Any:
            calls.append(key)
            await asyncio.sleep(5)
            if isinstance(result, WorkError):
                raise result
            return result

        return await answer(key, work, begun)

    async def end_of(key: str, result: Any) -> Any:
        try:
            return await submit(key, result)
        except WorkError as error:
            return error

    told = [await submit("a", "first"), await submit("a", "second")]
    first, again = told
    assert first == "first", f"the work returns 'first', and it returns {first!r:.40}."
    assert calls == ["a"], "submitted again under its key, the work is done again."
    assert again == "first", (
        f"a second submission gets {again!r:.40}, not the result of the first."
    )
    other = await submit("b", "other")
    assert other == "other", (
        f"under another key the work returns 'other', and it returns {other!r:.40}."
    )

    both: list[Any] = []
    both += await asyncio.gather(submit("c", "first"), submit("c", "second"))
    assert calls.count("c") == 1, (
        "the second comes while the work of the first goes on, and it is done twice."
    )
    assert both == ["first", "first"], (
        f"two that come together get {both!r:.60}, and both are to get 'first'."
    )

    for _ in range(2):
        await submit("d", None)
    assert calls.count("d") == 1, "a result of None is done again: is the key there?"

    error = WorkError("the work failed")
    both = []
    both += await asyncio.gather(end_of("e", error), end_of("e", error))
    assert both == [error, error], (
        "the work fails, and of two that wait for it not both get its error."
    )
    assert calls.count("e") == 1, "two wait for work that fails, and it is done twice."
    later = await end_of("e", "mended")
    assert later == "mended", "the work has failed, and its key is not free again."
    assert await submit("e", "once more") == "mended", (
        "after a failure and a success, the work is done once more."
    )

    begun = {}
    assert await submit("a", "anew") == "anew", (
        "it keeps its keys elsewhere than in begun."
    )
