"""Plays requirements against a solution: each in a process of its own, with a fresh import, loop and virtual clock.

Rules: a process is forked from one that has imported FastAPI and nothing of the solution, which takes milliseconds, and
is killed after REAL_SECONDS, so that a solution that blocks or spins fails one requirement and hangs nobody.
"""

import asyncio
import contextlib
import dataclasses
import gc
import importlib
import json
import logging
import os
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.api import Api, NotGradedError, UnmetError
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Requirement, Verdict, load_all
from tests.conformance.solution import Solution

ROOT = Path(__file__).parent.parent.parent
REAL_SECONDS = float(os.environ.get("CONFORMANCE_REAL_SECONDS", 8))  # for one requirement
CAN_GRADE = hasattr(os, "fork")
NEEDS_POSIX = "grading needs a POSIX system: each requirement is played in a forked process"
START_UP = 60.0  # virtual seconds
DAY = 86_400.0
_DECOYS: list[asyncio.AbstractEventLoop] = []
NO_REST = (
    f"it came to no rest within {REAL_SECONDS:g} real seconds: it blocks the event loop, waits busily, or waits for a "
    "thread or process that virtual time does not reach"
)


def grade(jobs: list[tuple[Solution, Requirement]]) -> Iterator[tuple[int, Verdict]]:
    """Play each job; yields its index and verdict as soon as it is there. Raises RuntimeError where it cannot start."""
    if not CAN_GRADE:
        raise RuntimeError(NEEDS_POSIX)
    told = [[dataclasses.asdict(solution), requirement.name] for solution, requirement in jobs]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaints:
        given.write(json.dumps(told).encode())
        given.seek(0)
        command = [sys.executable, "-m", "tests.conformance.play"]
        # Not in asyncio's debug mode, in which no server would run it.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
        pipes: dict[str, Any] = {"stdin": given, "stdout": subprocess.PIPE, "stderr": complaints}
        with subprocess.Popen(command, cwd=ROOT, env=environ, **pipes) as process:
            assert process.stdout is not None
            for line in process.stdout:
                index, verdict = json.loads(line)
                yield index, Verdict(**verdict)
        if process.returncode:
            complaints.seek(0)
            raise RuntimeError(complaints.read().decode())


# In the process that forks: a few children at a time


def main() -> None:
    for module in ("fastapi", "uvicorn", "concurrent.futures.process", "tests.conformance.clock"):
        importlib.import_module(module)  # once, so that no child has to
    load_all()
    REQUIREMENTS[PREFLIGHT.name] = PREFLIGHT
    gc.freeze()  # what is here now is no garbage: collecting it again in each child would only copy its memory
    jobs = [(Solution(**solution), REQUIREMENTS[name]) for solution, name in json.load(sys.stdin)]
    waiting, at_most = list(enumerate(jobs)), os.cpu_count() or 1
    children: dict[int, tuple[int, int, float]] = {}  # by the end of its pipe: index, process, when to kill it
    with selectors.DefaultSelector() as selector:
        while waiting or children:
            while waiting and len(children) < at_most:
                index, job = waiting.pop(0)
                pipe, process = _fork(*job)
                children[pipe] = index, process, time.monotonic() + REAL_SECONDS
                selector.register(pipe, selectors.EVENT_READ)
            ended = [key.fd for key, _ in selector.select(0.1)]
            late = [pipe for pipe, (_, _, end) in children.items() if end < time.monotonic() and pipe not in ended]
            for pipe in ended + late:
                index, process, _ = children.pop(pipe)
                selector.unregister(pipe)
                if pipe in late:
                    os.kill(process, signal.SIGKILL)
                verdict = _read(pipe)
                _, status = os.waitpid(process, 0)
                if verdict is None:
                    happened = NO_REST if pipe in late else f"its process ended with status {status}"
                    verdict = dataclasses.asdict(Verdict("failed", "an answer", happened))
                sys.stdout.write(json.dumps([index, verdict]) + "\n")
                sys.stdout.flush()


def _fork(solution: Solution, requirement: Requirement) -> tuple[int, int]:
    read, write = os.pipe()
    if process := os.fork():
        os.close(write)
        return read, process
    try:
        os.close(read)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # what a solution prints is its own affair
            os.dup2(nowhere, standard)
        verdict = dataclasses.asdict(_play(solution, requirement))
        with os.fdopen(write, "w") as pipe:
            pipe.write(json.dumps(verdict))
    finally:
        os._exit(0)


def _read(pipe: int) -> Any:
    with os.fdopen(pipe) as text, contextlib.suppress(ValueError):
        return json.load(text)
    return None


# In a child: one requirement


def _play(solution: Solution, requirement: Requirement) -> Verdict:
    from tests.conformance import clock
    from tests.conformance.source import Source

    heard: list[str] = []
    warnings.simplefilter("default")
    warnings.showwarning = lambda message, category, file, line, *_: heard.append(
        f"{Path(file).name}:{line}: {category.__name__}: {str(message).strip().partition(chr(10))[0]}"
    )
    worse = "remark" if requirement.open else "failed"
    try:
        if requirement.source:
            requirement.play(Source(solution))
        else:
            loop = clock.install()
            random.seed(1)  # so that a solution with random durations is graded the same each time
            app = _import(solution)
            asyncio.set_event_loop(loop)
            found = loop.run_until_complete(asyncio.wait_for(_scenario(app, solution, requirement, loop), DAY))
            return Verdict("passed", warnings=heard, found=found or {})
    except UnmetError as error:
        return Verdict(worse, error.expected, error.happened, heard)
    except NotGradedError as error:
        return Verdict("not graded", "", str(error), heard)
    except (asyncio.TimeoutError, TimeoutError):
        return Verdict(worse, "an answer", "a request was still waiting after a virtual day", heard)
    except Exception:
        return Verdict("failed", "the scenario to run", traceback.format_exc(limit=-3), heard)
    return Verdict("passed", warnings=heard)


def _import(solution: Solution) -> Any:
    module, _, attribute = solution.app.partition(":")
    sys.path.insert(0, str(solution.folder))
    # As under uvicorn, whose loop is not there yet: what is made for this one will never run.
    _DECOYS.append(asyncio.new_event_loop())
    asyncio.set_event_loop(_DECOYS[0])
    try:
        os.chdir(solution.folder)
        app: Any = importlib.import_module(module)
        for name in (attribute or "app").split("."):
            app = getattr(app, name)
    except BaseException as error:  # a SystemExit, too
        why = f"{type(error).__name__}: {error}"
        raise UnmetError(f"{solution.app} to be importable from {solution.folder}", why) from None
    file = Path(getattr(sys.modules[module], "__file__", None) or solution.folder).resolve()
    if file.is_relative_to(ROOT) and not file.is_relative_to(solution.folder):
        raise UnmetError(f"{solution.app} in {solution.folder}", f"it is not there; {file} was found in its place")
    if not callable(app):
        raise UnmetError(f"{solution.app} to be an ASGI application", f"it is {app!r:.60}")
    return app


async def _scenario(app: Any, solution: Solution, requirement: Requirement, loop: Any) -> Any:
    logging.raiseExceptions = False
    lifespan = Lifespan(app)
    await lifespan.start()
    api = Api(app, solution, loop)
    api.lifespan = lifespan
    return await requirement.play(api)


class Lifespan:
    """The start and stop of an ASGI application, as a server would do them."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def start(self) -> None:
        self._run = asyncio.create_task(
            self._app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self._told.get, self._said.put)
        )
        await self._tell("startup", START_UP)

    async def stop(self, within: float) -> None:
        """Raises UnmetError where it takes longer, in virtual seconds."""
        await self._tell("shutdown", within)

    async def _tell(self, what: str, within: float) -> None:
        self._told.put_nowait({"type": f"lifespan.{what}"})
        said = asyncio.create_task(self._said.get())
        await asyncio.wait({said, self._run}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if said.done():
            message = said.result()
            if not message["type"].endswith("failed"):
                return
            raise UnmetError(f"a {what} that succeeds", message.get("message", "it failed")[-300:])
        said.cancel()
        if not self._run.done():
            raise UnmetError(f"the {what} to end within {within:g} s", "it has not ended")
        # An application that knows no lifespan raises or returns: that is allowed.


if __name__ == "__main__":
    main()
