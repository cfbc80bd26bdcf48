"""Scenario: one requirement, played against one solution, in a process
that does nothing else in its life.
"""

import asyncio
import contextlib
import dataclasses
import importlib
import inspect
import logging
import os
import random
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance import clock
from tests.conformance.api import Api, NotGradedError, UnmetError
from tests.conformance.lifespan import Lifespan
from tests.conformance.requirement import Requirement, Verdict
from tests.conformance.solution import ROOT, Solution
from tests.conformance.source import Source
from tests.conformance.watchdog import WATCHDOG

DAY = 86_400.0
# where a requirement may have failed by chance, it is played again with
# other random numbers
SEEDS = 8
# where the solution draws none from the random module, but may have a
# generator of its own
SEEDS_UNSEEN = 4
_DECOYS: list[asyncio.AbstractEventLoop] = []


def play(solution: Solution, requirement: Requirement, seed: int) -> Verdict:
    """Import the solution on a virtual clock, start it, and play one
    requirement, or read its source.
    """
    heard: list[str] = []
    warnings.simplefilter("default")
    warnings.showwarning = lambda message, category, file, line, *_: heard.append(
        f"{Path(file).name}:{line}: {category.__name__}: {_first_line(str(message))}"
    )
    api: Any = None
    drawn: Any = None
    verdict = Verdict("passed", warnings=heard)
    try:
        if requirement.source:
            source = Source(solution)
            try:
                _import(solution)
            except UnmetError as error:  # then half of it would be read
                raise NotGradedError(
                    f"it cannot be imported: {error.happened}"
                ) from None
            requirement.play(source)
        else:
            loop = clock.install()
            # so that a solution with random durations is graded the
            # same each time
            random.seed(seed)
            drawn = random.getstate()
            api = Api(_app_in(_import(solution), solution), solution, loop)
            asyncio.set_event_loop(loop)
            found = loop.run_until_complete(
                asyncio.wait_for(_scenario(api, requirement), DAY)
            )
            verdict = Verdict("passed", warnings=heard, found=found or {})
    except UnmetError as error:
        verdict = Verdict(requirement.worst, error.expected, error.happened, heard)
    except NotGradedError as error:
        verdict = Verdict("not graded", "", str(error), heard)
    except (asyncio.TimeoutError, TimeoutError):
        verdict = Verdict(
            requirement.worst,
            "an answer",
            "a request was still waiting after a virtual day",
            heard,
        )
    except Exception:
        verdict = Verdict(
            "failed", "the scenario to run", traceback.format_exc(limit=-3), heard
        )
    except BaseException as error:
        verdict = Verdict(
            requirement.worst, "an answer", f"the application raised {error!r}", heard
        )
    if api is None:
        return verdict
    heard += [
        f"{thread.name} is a thread of its own, which virtual time does not reach"
        for thread in _own_threads()
    ]
    if verdict.mark == "passed":
        return verdict
    most = SEEDS if random.getstate() != drawn else SEEDS_UNSEEN
    ends = (
        "".join(f"; before that, {end}" for end in api.lifespan.deaths())
        if api.lifespan
        else ""
    )
    return dataclasses.replace(
        verdict, happened=verdict.happened + ends, seeds=most if api.failures else 1
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _own_threads() -> list[threading.Thread]:
    known = ("MainThread", WATCHDOG, *clock.KNOWN_THREADS)
    return [
        thread for thread in threading.enumerate() if not thread.name.startswith(known)
    ]


def _import(solution: Solution) -> Any:
    """The module of the application."""
    # nothing of this project is to be taken for its own, and least of
    # all `tests`
    if solution.folder != ROOT:
        sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
    sys.path.insert(0, str(solution.folder))
    # As under uvicorn, whose loop is not there yet: what is made for
    # this one will never run.
    _DECOYS.append(asyncio.new_event_loop())
    asyncio.set_event_loop(_DECOYS[0])
    with _told(solution):
        os.chdir(solution.folder)
        return importlib.import_module(solution.app.partition(":")[0])


def _app_in(module: Any, solution: Solution) -> Any:
    app, name = module, solution.app.partition(":")[2]
    with _told(solution):
        for part in name.split("."):
            if not hasattr(app, part):
                there = [
                    each
                    for each, value in vars(module).items()
                    if type(value).__name__ == "FastAPI"
                ]
                raise AttributeError(
                    f"{solution.app}: no {part!r}; its applications are: {', '.join(there) or 'none'}"
                )
            app = getattr(app, part)
        if inspect.isfunction(app) and not inspect.signature(app).parameters:
            app = app()  # a factory
    if not callable(app):
        raise UnmetError(
            f"{solution.app} to be an ASGI application", f"it is {app!r:.60}"
        )
    return app


@contextlib.contextmanager
def _told(solution: Solution) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # a SystemExit, too
        wanted = f"{solution.app} to be importable from {solution.folder}"
        raise UnmetError(wanted, solution.summary_of(error)) from None


async def _scenario(api: Any, requirement: Requirement) -> Any:
    logging.raiseExceptions = False
    api.lifespan = Lifespan(api.app, api.solution)
    await api.lifespan.start()
    return await requirement.play(api)
