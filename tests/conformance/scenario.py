"""Scenario: one requirement, played against one solution.

The process that does it does nothing else in its life.
"""

import asyncio
import contextlib
import dataclasses
import functools
import importlib
import inspect
import logging
import os
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from tests.conformance import clock
from tests.conformance.api import (
    BLOCKS,
    Api,
    LeftOpenError,
    NotGradedError,
    UnmetError,
)
from tests.conformance.chance import Chance
from tests.conformance.lifespan import Lifespan
from tests.conformance.pythons import advice
from tests.conformance.requirement import Requirement, Verdict
from tests.conformance.solution import ROOT, Solution
from tests.conformance.source import Source

DAY = 86_400.0  # seconds
# Where a requirement may have failed by chance, it is played again with
# other random numbers.
SEEDS = 8
# Where the solution draws none from the random module, but may have a
# generator of its own.
SEEDS_UNSEEN = 4
_DECOYS: list[asyncio.AbstractEventLoop] = []


def play(solution: Solution, requirement: Requirement, seed: int) -> Verdict:
    """Play one requirement."""
    heard: list[str] = []
    _listen_to_warnings(heard)
    verdict = _play_live(solution, requirement, seed, heard)
    return dataclasses.replace(verdict, warnings=heard)


def read(solution: Solution, requirements: list[Requirement]) -> list[Verdict]:
    """Read the solution's source for several requirements, in turn."""
    heard: list[str] = []
    _listen_to_warnings(heard)

    @functools.cache
    def source() -> Source:
        return _source_of(solution)

    verdicts = []
    for requirement in requirements:
        verdict = _judged(requirement, functools.partial(_play_on, requirement, source))
        verdicts.append(dataclasses.replace(verdict, warnings=heard))
    return verdicts


def _listen_to_warnings(heard: list[str]) -> None:
    def hear(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        first_line, _, _ = str(message).strip().partition("\n")
        place = f"{Path(filename).name}:{lineno}"
        heard.append(f"{place}: {category.__name__}: {first_line}")

    warnings.simplefilter("default")
    warnings.showwarning = hear


def _judged(requirement: Requirement, act: Any) -> Verdict:
    """The verdict that follows from what ``act`` returns or raises."""
    try:
        found = act()
    except LeftOpenError as error:
        return Verdict("remark", error.expected, error.happened)
    except UnmetError as error:
        return Verdict(
            requirement.worst,
            error.expected,
            error.happened,
            needs=list(error.needs),
        )
    except NotGradedError as error:
        return Verdict("not graded", "", str(error), cause=error.cause)
    except (asyncio.TimeoutError, TimeoutError):
        happened = "a request was still waiting after a virtual day"
        return Verdict(requirement.worst, "an answer", happened)
    except Exception:
        happened = traceback.format_exc(limit=-3)
        return Verdict("failed", "the scenario to run", happened)
    except BaseException as error:
        happened = f"the application raised {error!r}"
        return Verdict(requirement.worst, "an answer", happened)
    return Verdict("passed", found=found or {})


def _play_on(requirement: Requirement, source: Callable[[], Source]) -> None:
    requirement.play(source())


def _source_of(solution: Solution) -> Source:
    """The parsed source. Raises NotGradedError."""
    source = Source(solution)
    try:
        _import(solution)
    except UnmetError as error:
        # Only half of it would be read.
        raise NotGradedError(f"it cannot be imported: {error.happened}") from None
    return source


def _play_live(
    solution: Solution, requirement: Requirement, seed: int, heard: list[str]
) -> Verdict:
    """Import the solution on a virtual clock, start it, and play.

    It says with how many seeds a failure is to be played, before it is
    believed.
    """
    # So that a solution with random durations is graded the same each
    # time.
    chance = Chance(seed)
    # Nor does it matter where it is graded.
    os.environ["TZ"] = "UTC"
    time.tzset()
    api: Any = None

    def act() -> Any:
        nonlocal api
        loop = clock.install()
        app = _app_in(_import(solution), solution)
        api = Api(app, solution, loop)
        asyncio.set_event_loop(loop)
        scenario = asyncio.wait_for(_scenario(api, requirement), DAY)
        return loop.run_until_complete(scenario)

    verdict = _judged(requirement, act)
    if api is None:
        return verdict

    beyond = api.loop.threads.beyond()
    heard += [f"virtual time does not reach {each}" for each in beyond]
    if verdict.mark == "passed":
        return verdict

    happened = verdict.happened
    if beyond and verdict.mark != "not graded":
        reason = (
            f"virtual time does not reach {', '.join(beyond)}; as far as it does, "
            f"{verdict.expected} was expected, and {happened}"
        )
        return Verdict("not graded", "", reason)

    if api.lifespan:
        happened += "".join(
            f"; before that, {death}" for death in api.lifespan.deaths()
        )

    seeds = 1
    if api.failures:
        seeds = SEEDS if chance.was_drawn else SEEDS_UNSEEN
    verdict = dataclasses.replace(verdict, happened=happened, seeds=seeds)
    if api.loop.threads.blocked < BLOCKS:
        return verdict

    # Whatever else went wrong, nothing could go on meanwhile.
    blocks = "nothing_blocks"
    if verdict.mark == "not graded":
        return dataclasses.replace(verdict, cause=blocks)
    return dataclasses.replace(verdict, needs=[*verdict.needs, blocks])


async def _scenario(api: Api, requirement: Requirement) -> Any:
    logging.raiseExceptions = False
    api.lifespan = Lifespan(api.app, api.solution)
    await api.lifespan.start()
    return await requirement.play(api)


def _import(solution: Solution) -> Any:
    """The module of the application."""
    if solution.folder != ROOT:
        _hide_this_project()
    sys.path.insert(0, str(solution.folder))

    # As under uvicorn, whose loop is not there yet: what is made for
    # this one will never run.
    decoy = asyncio.new_event_loop()
    _DECOYS.append(decoy)
    asyncio.set_event_loop(decoy)

    module, _, _ = solution.app.partition(":")
    with _told(solution):
        os.chdir(solution.folder)
        return importlib.import_module(module)


def _hide_this_project() -> None:
    """Let the solution find nothing of this project.

    Its own packages may have the same names, and ``tests`` is likely.
    What is in use here has been imported before, and stays.
    """
    # A process that the solution spawns would run this program again.
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT]
    for name in list(sys.modules):
        if name.partition(".")[0] == "tests":
            del sys.modules[name]


def _app_in(module: Any, solution: Solution) -> Any:
    """The application, which a factory may have to make."""
    _, _, name = solution.app.partition(":")
    app = module
    with _told(solution):
        for part in name.split("."):
            if not hasattr(app, part):
                raise AttributeError(
                    f"{solution.app}: no {part!r}; its applications are: "
                    f"{_applications_in(module) or 'none'}"
                )
            app = getattr(app, part)

        if _is_factory(app):
            app = app()

    # As a server calls it.
    if not _can_be_called(app, "scope", "receive", "send"):
        raise UnmetError(
            f"{solution.app} to be an ASGI application, such as FastAPI()",
            _told_of(app),
        )
    return app


def _is_factory(app: Any) -> bool:
    """Whether it may be called without arguments, to make one."""
    if not callable(app) or inspect.iscoroutinefunction(app):
        return False
    if not _can_be_called(app):
        return False
    kinds = [each.kind for each in inspect.signature(app).parameters.values()]
    return inspect.Parameter.VAR_POSITIONAL not in kinds


def _can_be_called(app: Any, *arguments: str) -> bool:
    """Whether it takes these arguments, and needs no others."""
    if not callable(app):
        return False
    try:
        signature = inspect.signature(app)
    except ValueError:
        # It is written in C, and may be anything.
        return bool(arguments)
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _told_of(app: Any) -> str:
    """What it is instead."""
    if not callable(app):
        return f"it is {app!r:.60}"

    takes = ", ".join(inspect.signature(app).parameters)
    happened = (
        f"it is {app!r:.60}, which takes ({takes}) and not (scope, receive, send)"
    )
    if inspect.iscoroutinefunction(app):
        happened += ": no server awaits an async factory"
    if takes == "environ, start_response":
        happened += ": it is a WSGI application, such as Flask's"
    return happened


def _applications_in(module: Any) -> str:
    return ", ".join(
        name
        for name, value in vars(module).items()
        if type(value).__name__ == "FastAPI"
    )


@contextlib.contextmanager
def _told(solution: Solution) -> Iterator[None]:
    """Raises UnmetError in place of whatever the solution raises."""
    try:
        yield
    except BaseException as error:
        # A SystemExit, too.
        wanted = f"{solution.app} to be importable from {solution.folder}"
        happened = solution.summary_of(error) + advice(error, solution.folder)
        raise UnmetError(wanted, happened) from None
