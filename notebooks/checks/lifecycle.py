"""Checks for 02-task-lifecycle."""

import asyncio
from itertools import product
from typing import Any

from notebooks import lab
from notebooks.checks import exercise
from taskmanager.errors import IllegalTransitionError
from taskmanager.task import TRANSITIONS, TaskStatus

ALLOWED = {
    (old.value, new.value)
    for old, following in TRANSITIONS.items()
    for new in following
}
POSSIBLE = {
    "A": "every task is at version 1, queued, when it is submitted",
    "C": "a task that is cancelled while it is queued goes from version 1 to 2",
    "E": "a task that is cancelled while it is processing goes from version 2 to 3",
}
IMPOSSIBLE = {
    "B": "version 2 is one transition after queued, and queued cannot become completed",
    "D": "processing comes right after queued, never later",
    "F": "the longest life has three states",
}


@exercise(
    "The version counts the states so far, so it tells which are possible: 1 is "
    "always queued, and 3 is always terminal."
)
def never(answer: Any) -> None:
    assert answer is not ..., "put letters in place of the dots, in braces."
    assert isinstance(answer, set | frozenset | list | tuple | str), (
        f"give a set of letters, like {{'A', 'C'}}, not {answer!r:.40}."
    )
    assert ... not in set(answer), "put letters in place of the dots."
    letters = {str(letter).strip(" ,").upper() for letter in answer} - {""}
    unknown = sorted(letters - set(POSSIBLE) - set(IMPOSSIBLE))
    assert not unknown, f"{', '.join(unknown)} is none of the six letters."

    for letter in sorted(letters & set(POSSIBLE)):
        raise AssertionError(f"{letter} can be seen: {POSSIBLE[letter]}.")
    for letter in sorted(set(IMPOSSIBLE) - letters):
        raise AssertionError(
            f"one that is missing can never be seen: {IMPOSSIBLE[letter]}."
        )


@exercise(
    "The table is asked before anything changes, so a refused move leaves the record "
    "as it was.",
    plain=True,
)
def change(answer: Any) -> None:
    moves = product((status.value for status in TaskStatus), repeat=2)
    # Those that must work come first.
    for old, new in sorted(moves, key=lambda move: move not in ALLOWED):
        record = {"status": old, "version": 7}
        refusal: Exception | None = None
        try:
            answer(record, new)
        except Exception as error:
            refusal = error

        if (old, new) in ALLOWED:
            _check_allowed(f"{old} to {new}", record, new, refusal)
        else:
            changed = record != {"status": old, "version": 7}
            _check_refused(f"{old} to {new}", changed, refusal)


def _check_allowed(
    move: str, record: dict[str, Any], new: str, refusal: Exception | None
) -> None:
    assert refusal is None, f"{move} is allowed, but it raises {refusal!r}."
    status = record.get("status")
    assert status == new, f"{move} is allowed, but the record says {status!r} after it."
    version = record.get("version")
    assert version == 8, f"{move} leaves version 7 at {version}, not 8."


def _check_refused(move: str, changed: bool, refusal: Exception | None) -> None:
    assert refusal is not None or not changed, f"it lets a task go from {move}."
    assert refusal is not None, (
        f"{move} changes nothing, but without a word: raise IllegalTransitionError."
    )
    assert isinstance(refusal, IllegalTransitionError), (
        f"{move} raises {type(refusal).__name__}: {refusal}."
    )
    assert not changed, (
        f"{move} is refused, but the record has changed: check first, then act."
    )


@exercise(
    "Between the last check and the change there is no await, so nobody can cancel in "
    "between."
)
def finish(answer: Any) -> None:
    undisturbed = _finish(answer, cancel=None)
    assert undisturbed["saved"], "nobody cancels, and the result is not saved."
    assert undisturbed["while saving"] != "completed", (
        "it says completed before the result is saved."
    )
    status = undisturbed["status"]
    assert status == "completed", f"nobody cancels, and the record ends as {status!r}."
    version = undisturbed["version"]
    assert version == 3, (
        f"it completes version 2, and the version is {version} then, not 3."
    )

    for cancel, when in (
        (0.0, "before it is called"),
        (0.5, "while the result is being saved"),
    ):
        try:
            cancelled = _finish(answer, cancel)
        except IllegalTransitionError:
            raise AssertionError(
                f"a client cancels {when}, and it raises IllegalTransitionError: a "
                "late result is no bug, so drop it."
            ) from None
        status = cancelled["status"]
        assert status == "cancelled", (
            f"a client cancels {when}, and the record ends as {status!r}."
        )
        assert cancelled["version"] == 3, (
            f"a client cancels {when}, and the version still grows after that."
        )


def _finish(answer: Any, cancel: float | None) -> dict[str, Any]:
    """What becomes of a task that somebody cancels at 0 s or 0.5 s.

    Saving takes until 1 s.
    """
    record: dict[str, Any] = {"status": "processing", "version": 2}
    seen: dict[str, Any] = {"saved": False}

    async def save() -> None:
        await asyncio.sleep(1)
        seen["saved"] = True

    async def story() -> None:
        if cancel == 0.0:
            record.update(status="cancelled", version=3)
        run = asyncio.ensure_future(answer(record, save))

        await asyncio.sleep(0.5)
        seen["while saving"] = record["status"]
        if cancel == 0.5:
            record.update(status="cancelled", version=3)

        await asyncio.wait([run], timeout=60)
        if not run.done():
            run.cancel()
            raise AssertionError("it does not return.")
        assert not run.cancelled(), (
            "it raises CancelledError, and nobody has cancelled it."
        )
        run.result()

    lab.run(story())
    return seen | record
