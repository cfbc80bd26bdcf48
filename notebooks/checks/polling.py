"""Checks for 05-polling."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any
from unittest import mock

from notebooks import lab
from notebooks.checks import exercise, plain_methods

SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
LONG = {
    "task_type": "generate_report",
    "parameters": {"title": "Checked", "sections": 20},
}


# Whether a coroutine belongs to a check: the lesson's application may
# run on the same loop.
_checked: ContextVar[bool] = ContextVar("checked", default=False)


def _counted(
    function: Callable[..., Coroutine[Any, Any, Any]], why: str
) -> Callable[..., Coroutine[Any, Any, Any]]:
    calls = 0

    async def counted(*args: Any) -> Any:
        nonlocal calls
        calls += _checked.get()
        assert calls <= 100, f"it looks again and again while nothing changes. {why}"
        return await function(*args)

    return counted


@exercise(
    "With the version compared right before each wait, and no await in between, no "
    "change is missed."
)
def versioned(answer: Any) -> None:
    plain_methods(answer, "change")
    # Event.wait and sleep are counted, since a loop around an Event
    # that is set would never come to an end.
    wait = _counted(
        asyncio.Event.wait, "An Event that stays set makes wait() return at once."
    )
    sleep = _counted(asyncio.sleep, "Let an Event wake it, in place of a sleep.")
    waits = mock.patch.object(asyncio.Event, "wait", wait)
    sleeps = mock.patch.object(asyncio, "sleep", sleep)
    with waits, sleeps:
        lab.run(_changes(answer()), limit=10_000)


async def _changes(task: Any) -> None:
    _checked.set(True)
    questions: list[asyncio.Task[Any]] = []

    def ask(since: int) -> "asyncio.Task[Any]":
        questions.append(asyncio.create_task(task.wait(since)))
        return questions[-1]

    async def after(seconds: float, question: "asyncio.Task[Any]") -> Any:
        await asyncio.sleep(seconds)
        if not question.done():
            return "nothing"
        return question.result()

    try:
        first = ask(1)
        second = ask(1)
        told = await after(1000, first)
        assert told == "nothing", (
            f"a client that has seen version 1 is told {told} before anything has "
            "changed."
        )

        not_run_yet = ask(1)
        task.change()
        told = [await after(1, first), await after(0, second)]
        who = "only one" if 2 in told else "none"
        assert "nothing" not in told, f"two waited for the change, and {who} is told."
        told.append(await after(0, not_run_yet))
        assert told[-1] != "nothing", (
            "a question that had come, but had not run yet at the change, waits for "
            "ever."
        )
        assert told == [2, 2, 2], (
            f"after the first change they are told {told[0]}, not version 2."
        )

        told = await after(1, ask(1))
        assert told == 2, (
            f"a client that saw version 1 and asks after the change is told {told}, "
            "though there is news."
        )

        question = ask(2)
        told = await after(1000, question)
        assert told == "nothing", (
            f"a client that has seen version 2 is told {told}, though nothing has "
            "changed since."
        )

        task.change()
        task.change()
        told = await after(1, question)
        assert told == 4, (
            f"after two more changes, a client that saw version 2 is told {told}, not "
            "4, the latest version."
        )
    finally:
        for question in questions:
            question.cancel()


@exercise(
    "You sleep while no news can come, and hold a long poll when it is due: few "
    "requests, and no delay."
)
def best(answer: Any) -> None:
    for submission, seconds in ((SUM, 5.1), (LONG, 30.6)):
        told, delay = _attempt(answer, submission)
        assert delay < 0.01, (
            f"of a task of {seconds} s it knows {delay:.1f} s late: let the last "
            "question be a long poll, and begin it before the end."
        )
        assert len(told) <= 3, (
            f"for a task of {seconds} s it makes {len(told)} requests: "
            "sleep for most of Retry-After before the first poll."
        )

    told, _ = _attempt(answer, SUM, overtaken=True)
    assert 429 not in told, (
        "where another task goes first, it asks too often, and is refused."
    )

    try:
        told, _ = _attempt(answer, SUM, refused=True)
    except KeyError:
        raise AssertionError(
            "where its submission is refused, it goes on as if there was a receipt."
        ) from None
    refusals = told.count(429)
    assert refusals == 1, (
        f"its submission is refused {refusals} times: the first 429 says how "
        "many seconds to wait."
    )


def _attempt(
    answer: Any,
    submission: dict[str, Any],
    *,
    overtaken: bool = False,
    refused: bool = False,
) -> tuple[list[int], float]:
    """The HTTP statuses that the client got, and its delay.

    Another task may go before its own, or its quota be used up.
    """
    app = lab.start(work_scale=1.02, workers=1)
    client = lab.client(app)
    rival = lab.client(app, "10.0.0.2")
    told: list[int] = []

    async def note(response: Any) -> None:
        told.append(response.status_code)
        assert len(told) < 100, "it makes a hundred requests and is not done."

    async def attempt() -> tuple[Any, float]:
        if refused:
            for _ in range(10):
                await client.get("/tasks")
        client.event_hooks = {"response": [note]}
        if overtaken:
            # The only worker is busy while the next one overtakes.
            await rival.post("/tasks", json=SUM)

        waiting = asyncio.create_task(answer(client, submission))
        await asyncio.sleep(1)
        if overtaken:
            await rival.post("/tasks", json=LONG | {"priority": "high"})
        return await waiting, lab.now()

    try:
        task, known = lab.run(attempt(), limit=600)
        assert isinstance(task, dict), (
            f"it returns {task!r:.60}, not the task as a dict."
        )
        when = ", where another task goes first" if overtaken else ""
        status = task.get("status")
        assert status == "completed", (
            f"the task that it returns is still {status!r}{when}."
        )
        finished = app.state.manager.get(task["task_id"]).status_since
        return told, known - finished
    finally:
        lab.stop(app)
