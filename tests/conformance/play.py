"""Plays requirements against a solution: each in a process of its own.

It has a fresh import, loop and virtual clock.

Rules: a process is forked from one that has imported FastAPI and
nothing of the solution, which takes milliseconds. It ends itself, or is
killed, when the solution blocks or spins: that fails one requirement
and hangs nobody. What it says is a verdict only as answer.py tells.
"""

import asyncio
import contextlib
import ctypes
import dataclasses
import faulthandler
import gc
import importlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.conformance import gauge
from tests.conformance.answer import UNHEARD, Answer
from tests.conformance.bytecode import keep_bytecode
from tests.conformance.causes import Job, settled
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Requirement, Verdict, load_all
from tests.conformance.scenario import play, read
from tests.conformance.solution import ROOT, Solution
from tests.conformance.virtual_time import receive_from, scope_of
from tests.conformance.watchdog import (
    AT_MOST,
    BLOCKED,
    NO_REST,
    REAL_SECONDS,
    TOO_BUSY,
    line_at,
    watch,
)

# Seconds, for a process to end itself: by the clock, and of the
# processor.
GRACE = min(4.0, REAL_SECONDS)
# Seconds between two looks at a process that does not answer.
LOOK = 0.5
CAN_GRADE = hasattr(os, "fork")
NEEDS_POSIX = (
    "grading needs a POSIX system: each requirement is played in a forked process"
)
# Of <linux/prctl.h>: the signal that the end of the parent sends.
PR_SET_PDEATHSIG = 1
# Imported once, so that no process has to.
SHARED = (
    "fastapi",
    "uvicorn",
    "concurrent.futures.process",
    "multiprocessing.managers",
    "multiprocessing.pool",
    "multiprocessing.queues",
)


class GradingError(RuntimeError):
    """The grading itself has failed; the message says how."""


def grade(jobs: list[Job], seed: int = 1) -> Iterator[tuple[int, Verdict]]:
    """Yields the index and verdict of each job, once it is known.

    Raises GradingError where it cannot start, or breaks down.
    """
    with Player(seed) as player:
        yield from player.play(jobs)


class Player:
    """The process that plays, from the other side.

    ``seed`` is that of all that is random. Raises GradingError.
    """

    def __init__(self, seed: int = 1) -> None:
        if not CAN_GRADE:
            raise GradingError(NEEDS_POSIX)

        # Not in asyncio's debug mode, in which no server would run it.
        environ = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONASYNCIODEBUG"
        }
        environ["PYTHONHASHSEED"] = str(seed % 2**32)
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.play", str(seed)],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        with self._process:
            self._complaints.close()

    def play(self, jobs: list[Job]) -> Iterator[tuple[int, Verdict]]:
        """Yields each job's index and verdict, once it is known."""
        return settled(jobs, self._play(jobs))

    def _play(self, jobs: list[Job]) -> Iterator[tuple[int, Verdict]]:
        """Yields the index and verdict of each job, as it is played."""
        told = [
            [dataclasses.asdict(solution), requirement.name]
            for solution, requirement in jobs
        ]
        given: Any = self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            given.write(json.dumps(told).encode() + b"\n")
            given.flush()

        said: Any = self._process.stdout
        for _ in jobs:
            line = said.readline()
            if not line:
                raise GradingError(self._last_words())
            index, verdict = json.loads(line)
            yield index, Verdict.read(verdict)

    def _last_words(self) -> str:
        code = self._process.wait()
        self._complaints.seek(0)
        words = self._complaints.read().decode(errors="replace").strip()
        return words or f"the process that plays ended with exit code {code}"


# In the process that forks: a few children at a time


@dataclasses.dataclass
class Child:
    """A process that plays one job, or reads the source for several."""

    # Of its jobs, in the list of all.
    indices: list[int]
    # How often they were played.
    attempt: int
    process: int
    answer: Answer
    # From which it answers.
    pipe: int
    # Where it says at which line it is, when it is asked.
    places: IO[str]
    begun: float
    next_look: float


class Setting(NamedTuple):
    """What is the same for all jobs of a player."""

    seed: int
    # A folder for what all processes would compile.
    bytecode: Path


def main() -> None:
    seed = int(sys.argv[1])
    # The one that started this may end it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _prepare()
    load_all()
    REQUIREMENTS[PREFLIGHT.name] = PREFLIGHT
    # What is here now is no garbage: collecting it again in each child
    # would only copy its memory.
    gc.freeze()

    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        setting = Setting(seed, Path(folder))
        for line in sys.stdin:
            jobs = [
                (Solution(**solution), REQUIREMENTS[name])
                for solution, name in json.loads(line)
            ]
            for index, verdict in _play_all(jobs, setting):
                told = json.dumps([index, dataclasses.asdict(verdict)])
                sys.stdout.write(told + "\n")
                sys.stdout.flush()


def _prepare() -> None:
    """Import what most solutions do, with what that imports later.

    What is imported, compiled or cached with the first request is so
    for all.
    """
    for module in SHARED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)

    with contextlib.suppress(Exception):
        asyncio.run(_serve_once())


async def _serve_once() -> None:
    """Let an application of no account answer one request."""
    fastapi = importlib.import_module("fastapi")
    pydantic = importlib.import_module("pydantic")
    app = fastapi.FastAPI()
    body = pydantic.create_model("Body", text=(str, ...))

    async def answer(given: Any) -> Any:
        return given

    async def limit(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    async def send(message: Any) -> None:
        pass

    answer.__annotations__["given"] = body
    app.middleware("http")(limit)
    app.post("/", response_model=body)(answer)
    receive = receive_from(b'{"text": ""}', asyncio.Event())
    await app(scope_of("POST", "/"), receive, send)


def _play_all(jobs: list[Job], setting: Setting) -> Iterator[tuple[int, Verdict]]:
    """Yields the index of each job, and its verdict."""
    # More than there are processors: one that blocks needs none, and
    # beside other programs they get a larger share.
    at_most = 2 * (os.cpu_count() or 1)
    # The indices of the jobs that one process is to play, and how often
    # they were.
    waiting = [(indices, 0) for indices in _together(jobs)]
    children: dict[int, Child] = {}

    with selectors.DefaultSelector() as selector:
        try:
            while waiting or children:
                while waiting and len(children) < at_most:
                    indices, attempt = waiting.pop(0)
                    child = _fork(jobs, indices, attempt, setting)
                    children[child.pipe] = child
                    selector.register(child.pipe, selectors.EVENT_READ)

                speaking = {key.fd for key, _ in selector.select(0.1)}
                for child in list(children.values()):
                    verdicts = _heard(child, jobs, child.pipe in speaking)
                    is_over = verdicts is not None or child.answer.is_closed
                    if is_over and child.pipe in selector.get_map():
                        selector.unregister(child.pipe)
                        child.next_look = 0.0
                    if verdicts is None:
                        continue

                    del children[child.pipe]
                    _end(child)
                    if child.attempt + 1 < max(each.seeds for each in verdicts):
                        waiting.insert(0, (child.indices, child.attempt + 1))
                    else:
                        yield from zip(child.indices, verdicts, strict=True)
        finally:
            for child in children.values():
                _end(child)


def _together(jobs: list[Job]) -> list[list[int]]:
    """The indices of the jobs that one process plays.

    The source of one solution is read once for all that ask for it.
    """
    together: list[list[int]] = []
    of_source: dict[str, list[int]] = {}
    for index, (solution, requirement) in enumerate(jobs):
        key = repr(solution)
        if requirement.source and key in of_source:
            of_source[key].append(index)
            continue

        indices = [index]
        together.append(indices)
        if requirement.source:
            of_source[key] = indices
    return together


def _heard(child: Child, jobs: list[Job], speaks: bool) -> list[Verdict] | None:
    """What a child answers, or what happened to it instead.

    None as long as neither is known.
    """
    if not speaks:
        if time.monotonic() < child.next_look:
            return None
        child.next_look = time.monotonic() + LOOK

    # Asked first: what it wrote before its end is there by then.
    status = _status_of(child)
    requirements = [jobs[index][1] for index in child.indices]
    try:
        verdicts = child.answer.told()
        if verdicts is not None and len(verdicts) != len(requirements):
            raise ValueError(f"there are {len(verdicts)} verdicts")
    except ValueError as error:
        happened = f"the grading failed: {error}"
        return [Verdict("not graded", "", happened)] * len(requirements)
    if verdicts is not None:
        return verdicts

    if status is not None:
        happened = _end_in_words(status)
        if child.answer.strays:
            happened += (
                f"; it wrote {child.answer.strays} bytes where only the grading writes"
            )
    elif child.answer.is_flooded:
        happened = "it wrote without end where only the grading writes"
    elif _hangs(child):
        solution, _ = jobs[child.indices[0]]
        happened = _why_it_hangs(child, solution)
    else:
        return None
    return [_no_answer(requirement, happened) for requirement in requirements]


def _no_answer(requirement: Requirement, happened: str) -> Verdict:
    if happened == TOO_BUSY:
        return Verdict("not graded", "", happened)
    return Verdict(requirement.worst, "an answer", happened)


def _status_of(child: Child) -> int | None:
    """With what the process ended; None where it has not."""
    state = os.WEXITED | os.WNOHANG | os.WNOWAIT
    info = os.waitid(os.P_PID, child.process, state)
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


def _end_in_words(status: int) -> str:
    if status == UNHEARD:
        return "it closed a file that it had not opened, and no verdict could be told"
    if status >= 0:
        return f"its process ended with exit code {status}"
    return f"its process ended by {signal.Signals(-status).name}"


def _hangs(child: Child) -> bool:
    """Whether it should have ended itself, and has not."""
    if time.monotonic() > child.begun + AT_MOST + GRACE:
        return True
    return gauge.used_by(child.process) > REAL_SECONDS + GRACE


def _why_it_hangs(child: Child, solution: Solution) -> str:
    """For one whose own watchdog does not come to say it.

    Code in C may hold the interpreter.
    """
    place = ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.process, signal.SIGUSR1)
    time.sleep(0.1)
    child.places.seek(0)
    for file, line in re.findall(r'File "(.+?)", line (\d+)', child.places.read()):
        place = place or line_at(file, int(line), solution)

    if gauge.used_by(child.process) >= REAL_SECONDS:
        return NO_REST + place
    if not gauge.HAS_RUN_QUEUE:
        return TOO_BUSY
    seen = gauge.read(child.process)
    passed = time.monotonic() - child.begun
    return TOO_BUSY if seen.eager or seen.queued > passed / 2 else BLOCKED + place


def _end(child: Child) -> None:
    """End it, with whatever it started."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(child.process, signal.SIGKILL)
    os.waitpid(child.process, 0)
    child.answer.close()
    child.places.close()


def _fork(jobs: list[Job], indices: list[int], attempt: int, setting: Setting) -> Child:
    solution, _ = jobs[indices[0]]
    requirements = [jobs[index][1] for index in indices]
    answer = Answer()
    places = tempfile.TemporaryFile("w+")  # noqa: SIM115
    process = os.fork()
    if process:
        now = time.monotonic()
        return Child(
            indices=indices,
            attempt=attempt,
            process=process,
            answer=answer,
            pipe=answer.listen(),
            places=places,
            begun=now,
            next_look=now + LOOK,
        )

    try:
        # With whatever it starts, so that all can be ended.
        os.setpgid(0, 0)
        _end_with_the_parent()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        tell = answer.teller(solution)
        faulthandler.register(signal.SIGUSR1, places, all_threads=False)
        # What a solution prints is its own affair.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)

        def give_up(happened: str) -> None:
            tell([_no_answer(each, happened) for each in requirements])

        watch(solution, give_up)
        keep_bytecode(setting.bytecode, solution)
        tell(_played(solution, requirements, setting.seed + attempt))
    finally:
        os._exit(1)


def _end_with_the_parent() -> None:
    """On Linux; elsewhere the watchdog sees to it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _played(
    solution: Solution, requirements: list[Requirement], seed: int
) -> list[Verdict]:
    try:
        if any(requirement.source for requirement in requirements):
            return read(solution, requirements)
        return [play(solution, each, seed) for each in requirements]
    except BaseException:
        happened = f"the grading failed: {traceback.format_exc(limit=-3)}"
        return [Verdict("not graded", "", happened)] * len(requirements)


if __name__ == "__main__":
    main()
