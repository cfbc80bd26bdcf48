"""Checks for 06-cancellation-and-failure."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from notebooks import lab
from notebooks.checks import exercise
from taskmanager.errors import TaskFailedError


class WorkError(Exception):
    pass


async def _end_of(
    coroutine: Coroutine[Any, Any, Any], cancel_at: float | None = None
) -> Any:
    """The result of an answer, or what it raised, as an object; after a
    minute it has to have ended.
    """
    run = asyncio.ensure_future(coroutine)
    if cancel_at is not None:
        await asyncio.wait([run], timeout=cancel_at)
        assert not run.done(), "it does not wait for the work to end."
        run.cancel()
    await asyncio.wait([run], timeout=60)
    if not run.done():
        run.cancel()
        raise AssertionError(
            "it does not end."
            if cancel_at is None
            else "it is cancelled, and does not end."
        )
    return (
        asyncio.CancelledError() if run.cancelled() else run.exception() or run.result()
    )


@exercise
def with_clean_up(answer: Any) -> None:
    log: list[str] = []

    async def clean_up() -> None:
        log.append("begun")
        await asyncio.sleep(1)
        log.append("cleaned")

    async def succeed() -> str:
        await asyncio.sleep(5)
        return "result"

    async def fail() -> None:
        await asyncio.sleep(5)
        raise WorkError("a failure of the work")

    end = lab.run(_end_of(answer(succeed, clean_up)))
    assert end == "result", f"the work returns 'result', and it {_how(end)}."
    assert not log, "the work succeeds, and it cleans up all the same."
    for work, cancel_at, what in (
        (fail, None, "fails"),
        (succeed, 2.0, "is cancelled"),
    ):
        log.clear()
        end = lab.run(_end_of(answer(work, clean_up), cancel_at))
        assert log, f"the work {what}, and nothing is cleaned up."
        assert log[1:] == ["cleaned"], (
            f"the work {what}, and clean_up has not ended when it does: await it."
            if len(log) == 1
            else f"the work {what}, and clean_up is called {log.count('begun')} times."
        )
        expected = WorkError if cancel_at is None else asyncio.CancelledError
        assert isinstance(end, expected), (
            f"the work {what}, and it {_how(end)} after the clean-up, where {expected.__name__} should come out."
        )


@exercise
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

    def run(
        *parts: Coroutine[Any, Any, str], cancel_at: float | None = None
    ) -> tuple[Any, float, list[str]]:
        """What comes out, after how many seconds, and what has been
        logged by then.
        """
        log.clear()
        begun = lab.now()
        try:
            end = lab.run(_end_of(answer(*parts), cancel_at))
            took, by_then = lab.now() - begun, list(log)
            lab.run(asyncio.sleep(60))  # what is left behind ends
        finally:
            for each in parts:
                each.close()
        return end, took, by_then

    end, took, _ = run(part("b", 3), part("c", 1), part("d", 2))
    assert isinstance(end, list | tuple), (
        f"all succeed, and it {_how(end)}, not the list of results."
    )
    assert list(end) == ["b", "c", "d"], (
        f"b, c and d succeed, and it returns {end!r:.60}: keep the order."
    )
    assert took < 4, f"parts of 1, 2 and 3 s take {took:g} s: run them side by side."

    for names, cancel_at, what, expected in (
        ("abc", None, "a fails after 1 s", WorkError),
        ("bc", 1.0, "it is cancelled after 1 s", asyncio.CancelledError),
    ):
        parts = [
            part(name, *{"a": (1, 0), "b": (5, 1), "c": (5, 2)}[name]) for name in names
        ]
        end, _, by_then = run(*parts, cancel_at=cancel_at)
        assert "b is done" not in by_then, (
            f"{what}, and it waits until the others are done: cancel them."
        )
        assert "b is done" not in log, f"{what}, and the others run on: cancel them."
        assert {"b is interrupted", "c is interrupted"} <= set(log), (
            f"{what}, and not all the others are cancelled."
        )
        assert {"b is cleaned up", "c is cleaned up"} <= set(log), (
            f"{what}, and a second cancel() cuts a clean-up short; a gather that is cancelled has cancelled its parts."
        )
        assert {"b is cleaned up", "c is cleaned up"} <= set(by_then), (
            f"{what}, and it ends before the others have ended their clean-up: wait for them."
        )
        assert isinstance(end, expected), (
            f"{what}, and it {_how(end)}: {expected.__name__} should come out."
        )


@exercise
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
        assert given == code, (
            f"a {type(error).__name__} is called {given!r}, not {code!r}{hint}."
        )


def _how(end: Any) -> str:
    """What an answer does in the end, for a sentence about it."""
    return (
        f"raises {type(end).__name__}"
        if isinstance(end, BaseException)
        else f"returns {end!r:.60}"
    )
