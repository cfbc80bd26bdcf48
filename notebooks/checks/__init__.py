"""Checks of the exercises, a module a notebook.

Each takes an answer and says what is still wrong with it.

Rule: a check is a function whose asserts carry the words that a learner
reads; ``exercise`` makes them printed lines.
"""

import asyncio
import functools
import warnings
from collections.abc import Callable
from typing import Any

from notebooks.patience import TimeStandsStillError
from taskmanager.task import TaskDict

# By "module.name": what gives the complaint about an answer, or None.
CHECKS: dict[str, Callable[[Any], str | None]] = {}


def exercise(
    more: str,
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Turn a function that asserts into one that prints.

    It prints "Right." and ``more``, a sentence that says why or what to
    try next, or "Not yet: ...".
    """

    def printing(check: Callable[[Any], None]) -> Callable[[Any], None]:
        module = check.__module__.rpartition(".")[2]
        complaint = functools.partial(_complaint, check)
        CHECKS[f"{module}.{check.__name__}"] = complaint

        @functools.wraps(check)
        def printed(answer: Any) -> None:
            wrong = complaint(answer)
            if wrong is None:
                print(f"Right. {more}")
            else:
                print(f"Not yet: {wrong}")

        return printed

    return printing


def _complaint(check: Callable[[Any], None], answer: Any) -> str | None:
    # What was not awaited is told in our own words.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")
        return _fault_of(check, answer)


def _fault_of(check: Callable[[Any], None], answer: Any) -> str | None:
    try:
        check(answer)
    except AssertionError as error:
        return str(error)
    except (TimeoutError, asyncio.TimeoutError):
        return "it waits for ever."
    except TimeStandsStillError as error:
        return str(error)
    except Exception as error:
        return f"it raises {type(error).__name__}: {error}{_hint(error)}"
    return None


def _hint(error: Exception) -> str:
    """What a learner most likely forgot, where the error shows it."""
    text = str(error)
    if "'coroutine' object" in text:
        return (
            ". A call of an async def gives a coroutine, which runs when you await it."
        )
    if "can't be used in 'await' expression" in text:
        return ". Is it a plain def? Write async def."
    if isinstance(error, KeyError) and error.args[0] in TaskDict.__annotations__:
        return ". A refusal (429, 503) is no task: look at response.status_code first."
    return ""
