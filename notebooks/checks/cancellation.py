"""Checks for 08-cancellation-and-failure."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from notebooks import lab
from notebooks.checks import exercise
from taskmanager.errors import TaskFailedError


class WorkError(Exception):
    """What the work of an exercise raises."""


async def _end_of(
    coroutine: Coroutine[Any, Any, Any], cancel_at: float | None = None
) -> Any:
    """The result of an answer, or what it raised, as an object.

    After a minute it has to have ended.
    """
    run = asyncio.ensure_future(coroutine)
    never_ends = "it does not end."
    if cancel_at is not None:
        await asyncio.wait([run], timeout=cancel_at)
        assert not run.done(), "it does not wait for the work to end."
        run.cancel()
        never_ends = "it is cancelled, and does not end."

    await asyncio.wait([run], timeout=60)
    if not run.done():
        run.cancel()
        raise AssertionError(never_ends)
    if run.cancelled():
        return asyncio.CancelledError()
    return run.exception() or run.result()


@exercise(
    "CancelledError is a BaseException and no Exception, so a clean-up under except "
    "Exception would miss every cancellation."
)
def with_clean_up(answer: Any) -> None:
    log: list[str] = []
    ended: list[str] = []

    async def clean_up() -> None:
        log.append("begun")
        await asyncio.sleep(1)
        log.append("cleaned")

    async def succeed() -> str:
        await asyncio.sleep(5)
        ended.append("result")
        return "result"

    async def fail() -> None:
        await asyncio.sleep(5)
        raise WorkError("a failure of the work")

    end = lab.run(_end_of(answer(succeed, clean_up)))
    assert end == "result", f"the work returns 'result', and it {_how(end)}."
    assert not log, "the work succeeds, and it cleans up all the same."

    for work, cancel_at, what, expected in (
        (fail, None, "fails", WorkError),
        (succeed, 2.0, "is cancelled", asyncio.CancelledError),
    ):
        log.clear()
        ended.clear()
        end = lab.run(_end_of(answer(work, clean_up), cancel_at))
        by_then = list(log)
        # What is left behind ends.
        lab.run(asyncio.sleep(10))
        assert log, f"the work {what}, and nothing is cleaned up."
        assert by_then == log, (
            f"the work {what}, and clean_up has not ended when it does: await it."
        )
        calls = log.count("begun")
        assert log == ["begun", "cleaned"], (
            f"the work {what}, and clean_up is called {calls} times."
        )
        assert isinstance(end, expected), (
            f"the work {what}, and it {_how(end)} after the clean-up, where "
            f"{expected.__name__} should come out."
        )
        assert not ended, f"it {what}, and the work runs on behind it."


@dataclass
class _Ended:
    """How an answer to ``all_or_nothing`` ended."""

    end: Any
    took: float  # seconds
    by_then: list[str]  # logged


@exercise(
    "When it returns or raises, nothing that it began is left running; this is called "
    "structured concurrency."
)
def all_or_nothing(answer: Any) -> None:
    log: list[str] = []

    async def part(name: str, seconds: float, clean_up: float = 0.0) -> str:
        try:
            await asyncio.sleep(seconds)
            log.append(f"{name} is done")
        except asyncio.CancelledError:
            log.append(f"{name} is interrupted")
            await asyncio.sleep(clean_up)
            log.append(f"{name} is cleaned up")
            raise
        if name == "a":
            raise WorkError("the failure of a")
        return name

    def run(*parts: Coroutine[Any, Any, str], cancel_at: float | None = None) -> _Ended:
        log.clear()
        begun = lab.now()
        try:
            end = lab.run(_end_of(answer(*parts), cancel_at))
            ended = _Ended(end, lab.now() - begun, list(log))
            # What is left behind ends.
            lab.run(asyncio.sleep(60))
        finally:
            for each in parts:
                each.close()
        return ended

    ended = run(part("b", 3), part("c", 1), part("d", 2))
    assert isinstance(ended.end, list | tuple), (
        f"all succeed, and it {_how(ended.end)}, not the list of results."
    )
    assert list(ended.end) == ["b", "c", "d"], (
        f"b, c and d succeed, and it returns {ended.end!r:.60}: keep the order."
    )
    assert ended.took < 4, (
        f"parts of 1, 2 and 3 s take {ended.took:g} s: run them side by side."
    )

    seconds = {"a": 1, "b": 5, "c": 5}
    clean_up = {"a": 0, "b": 1, "c": 2}
    for names, cancel_at, what, expected in (
        ("bac", None, "a fails after 1 s", WorkError),
        ("bc", 1.0, "it is cancelled after 1 s", asyncio.CancelledError),
    ):
        parts = [part(name, seconds[name], clean_up[name]) for name in names]
        ended = run(*parts, cancel_at=cancel_at)

        assert "b is done" not in ended.by_then, (
            f"{what}, and it waits until the others are done: cancel them."
        )
        assert "b is done" not in log, f"{what}, and the others run on: cancel them."
        assert {"b is interrupted", "c is interrupted"} <= set(log), (
            f"{what}, and not all the others are cancelled."
        )
        cleaned_up = {"b is cleaned up", "c is cleaned up"}
        assert cleaned_up <= set(log), (
            f"{what}, and a second cancel() cuts a clean-up short; a gather that is "
            "cancelled has cancelled its parts."
        )
        assert cleaned_up <= set(ended.by_then), (
            f"{what}, and it ends before the others have ended their clean-up: wait "
            "for them."
        )
        assert isinstance(ended.end, expected), (
            f"{what}, and it {_how(ended.end)}: {expected.__name__} should come out."
        )


@exercise(
    "The first case that fits is taken, so the narrow classes stand before OSError, "
    "of which the builtin TimeoutError is one.",
    plain=True,
)
def classify(answer: Any) -> None:
    for error, code, hint in (
        (TaskFailedError("why"), "task_failed", ""),
        (ValueError("why"), "internal_error", ""),
        (ConnectionResetError("why"), "unavailable", ": it is an OSError"),
        (FileNotFoundError("why"), "unavailable", ": it is an OSError"),
        (
            TimeoutError("why"),
            "timeout",
            ": it is an OSError too, and the first case that fits is taken",
        ),
        (
            asyncio.TimeoutError("why"),
            "timeout",
            ": on Python 3.10, the one of asyncio is another class",
        ),
    ):
        given = answer(error)
        name = type(error).__name__
        assert given == code, f"a {name} is called {given!r}, not {code!r}{hint}."


def _how(end: Any) -> str:
    """What an answer does in the end, for a sentence about it."""
    if isinstance(end, BaseException):
        said = f": {end}" if str(end) else ""
        return f"raises {type(end).__name__}{said}"
    return f"returns {end!r:.60}"
