"""Checks of the exercises, a module a notebook.

Each takes an answer and says what is still wrong with it.

Rule: a check is a function whose asserts carry the words that a learner
reads; ``exercise`` makes them printed lines.
"""

import asyncio
import functools
import gc
import inspect
import json
import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any

from notebooks.patience import FOR_EVER, TimeStandsStillError, run_bounded
from taskmanager.task import TaskDict

# By "module.name": what gives the complaint about an answer, or None.
CHECKS: dict[str, Callable[[Any], str | None]] = {}
# By the same names: what each has said since ``taken`` was called.
SAID: dict[str, str | None] = {}

# What is to be given where so many numbers are asked for.
ASKED = {
    1: "one number, like 3",
    2: "both numbers, like (3, 5)",
    3: "all three numbers, like (3, 5, 7)",
    7: "all seven numbers, in a list",
}
WORDS = {
    2: "two",
    3: "three",
    7: "seven",
}
# What asyncio and Python say of what an async def would have given.
NO_COROUTINE = [
    "can't be used in 'await' expression",
    "a coroutine was expected",
    "awaitable is required",
]
# What Python says where there is nothing to be taken.
EMPTY = [
    "deque index out of range",
    "list index out of range",
    "pop from an empty deque",
    "pop from empty list",
]


def exercise(
    more: str | Callable[[Any], str], *, plain: bool = False
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Turn a function that asserts into one that prints.

    It prints "Right." and ``more``, a sentence that says why or what to
    try next, or "Not yet: ...". ``more`` may be a function that says it
    of the answer. ``plain``: the answer is a plain def.
    """

    def printing(check: Callable[[Any], None]) -> Callable[[Any], None]:
        module = check.__module__.rpartition(".")[2]
        name = f"{module}.{check.__name__}"
        complaint = functools.partial(_complaint, check, plain)
        CHECKS[name] = complaint

        @functools.wraps(check)
        def printed(answer: Any) -> None:
            wrong = complaint(answer)
            SAID[name] = wrong
            if wrong is not None:
                print(f"Not yet: {wrong}")
            elif callable(more):
                print(f"Right. {more(answer)}")
            else:
                print(f"Right. {more}")

        return printed

    return printing


def taken() -> str:
    """What the checks have said since this was called last, as JSON."""
    said = json.dumps(SAID)
    SAID.clear()
    return said


def numbers_of(answer: Any, count: int) -> tuple[float, ...]:
    """The numbers of an answer that is to have so many.

    Asserts that it has them, whatever a learner has written.
    """
    dots = "a number" if count == 1 else f"{WORDS[count]} numbers"
    given = (answer,) if count == 1 or answer is ... else answer
    assert isinstance(given, tuple | list), f"give {ASKED[count]}, not {answer!r:.40}."
    assert ... not in given, f"put {dots} in place of the dots."
    assert len(given) == count, f"give {ASKED[count]}, not {len(given)} of them."

    for each in given:
        assert isinstance(each, Real), f"give {ASKED[count]}; {each!r:.40} is none."
    return tuple(given)


def plain_methods(answer: Any, *names: str) -> None:
    """Assert that these methods of a class are no async def."""
    for name in names:
        assert not inspect.iscoroutinefunction(getattr(answer, name, None)), (
            f"{name} is an async def, so a call of it runs nothing: write a plain def."
        )


def _complaint(check: Callable[[Any], None], plain: bool, answer: Any) -> str | None:
    if inspect.iscoroutine(answer):
        answer.close()
        return (
            "that is a call of it, which has not run: give the function, by its name."
        )
    if plain and inspect.iscoroutinefunction(answer):
        return "it is an async def, so a call of it runs nothing: write a plain def."
    # What was not awaited is told in our own words.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")
        complaint = _fault_of(check, answer)
        # Else Python finds some of it later, outside.
        gc.collect(1)
        return complaint


def _fault_of(check: Callable[[Any], None], answer: Any) -> str | None:
    try:
        run_bounded(check, answer)
    except AssertionError as error:
        return str(error)
    except TimeStandsStillError as error:
        return str(error)
    except (Exception, asyncio.CancelledError, SystemExit) as error:
        if str(error) == FOR_EVER:
            return FOR_EVER
        said = f": {error}" if str(error) else "."
        return f"it raises {type(error).__name__}{said}{_hint(error)}"
    return None


def _hint(error: BaseException) -> str:
    """What a learner most likely forgot, where the error shows it."""
    text = str(error)
    if "'coroutine' object" in text:
        return (
            ". A call of an async def gives a coroutine, which runs when you await it."
        )
    if "running event loop" in text:
        return ". Here is one already: await the coroutine itself."
    if any(words in text for words in NO_COROUTINE):
        return ". Is it a plain def, or has it a yield? Write async def, and return."
    if "object is not callable" in text:
        return ". Give the function or the class itself, by its name."
    if "instances of 'str' and 'int'" in text:
        return ". A header is text: int(...) makes a number of it."
    if text in EMPTY:
        return ". It is empty then: ask for that first."
    if isinstance(error, KeyError) and error.args[0] == "location":
        return ". Only the answer to a submission has it."
    if isinstance(error, KeyError) and error.args[0] in TaskDict.__annotations__:
        return ". A refusal (429, 503) is no task: look at response.status_code first."
    return ""
