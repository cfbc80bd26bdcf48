"""Plays requirements against a solution: each in a process of its own.

It has a fresh import, loop and virtual clock.

Rules: a process is forked from one that has imported FastAPI and
nothing of the solution, which takes milliseconds. It ends itself, or is
killed, when the solution blocks or spins: that fails one requirement
and hangs nobody.
"""

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.conformance.causes import Job, settled
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Requirement, Verdict, load_all
from tests.conformance.scenario import play
from tests.conformance.solution import ROOT, Solution
from tests.conformance.watchdog import AT_MOST, NO_REST, watch

# Real seconds, for a process to end itself.
GRACE = 4.0
CAN_GRADE = hasattr(os, "fork")
NEEDS_POSIX = (
    "grading needs a POSIX system: each requirement is played in a forked process"
)
_ANSWERING = threading.Lock()


def grade(jobs: list[Job]) -> Iterator[tuple[int, Verdict]]:
    """Yields the index and verdict of each job, once it is known.

    Raises RuntimeError where it cannot start.
    """
    return settled(jobs, _grade(jobs))


def _grade(jobs: list[Job]) -> Iterator[tuple[int, Verdict]]:
    """Yields the index and verdict of each job, once it is played."""
    if not CAN_GRADE:
        raise RuntimeError(NEEDS_POSIX)

    told = [
        [dataclasses.asdict(solution), requirement.name]
        for solution, requirement in jobs
    ]
    command = [sys.executable, "-m", "tests.conformance.play"]
    # Not in asyncio's debug mode, in which no server would run it.
    environ = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONASYNCIODEBUG"
    }

    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaints:
        given.write(json.dumps(told).encode())
        given.seek(0)
        player = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        with player as process:
            assert process.stdout is not None
            for line in process.stdout:
                index, verdict = json.loads(line)
                yield index, Verdict(**verdict)

        if process.returncode:
            complaints.seek(0)
            raise RuntimeError(complaints.read().decode())


# In the process that forks: a few children at a time


@dataclasses.dataclass
class Child:
    """A process that plays one job."""

    # Of the job, in the list of all.
    index: int
    # Of random numbers; it counts how often the job was played.
    seed: int
    process: int
    # From which it answers.
    pipe: int
    # When to kill it.
    end: float


def main() -> None:
    # Once, so that no child has to.
    for module in ("fastapi", "uvicorn", "concurrent.futures.process"):
        importlib.import_module(module)
    load_all()
    REQUIREMENTS[PREFLIGHT.name] = PREFLIGHT
    # What is here now is no garbage: collecting it again in each child
    # would only copy its memory.
    gc.freeze()

    jobs = [
        (Solution(**solution), REQUIREMENTS[name])
        for solution, name in json.load(sys.stdin)
    ]
    for index, verdict in _play_all(jobs):
        sys.stdout.write(json.dumps([index, verdict]) + "\n")
        sys.stdout.flush()


def _play_all(jobs: list[Job]) -> Iterator[tuple[int, Any]]:
    """Yields the index of each job, and its verdict as a dict."""
    at_most = os.cpu_count() or 1
    # The index of each job to be played, and with which seed.
    waiting = [(index, 1) for index in range(len(jobs))]
    children: dict[int, Child] = {}

    with selectors.DefaultSelector() as selector:
        while waiting or children:
            while waiting and len(children) < at_most:
                index, seed = waiting.pop(0)
                child = _fork(jobs[index], index, seed)
                children[child.pipe] = child
                selector.register(child.pipe, selectors.EVENT_READ)

            ended = [key.fd for key, _ in selector.select(0.1)]
            late = [
                pipe
                for pipe, child in children.items()
                if child.end < time.monotonic() and pipe not in ended
            ]
            for pipe in ended + late:
                child = children.pop(pipe)
                selector.unregister(pipe)

                _, requirement = jobs[child.index]
                verdict = _verdict_of(child, requirement, late=pipe in late)
                if child.seed < verdict["seeds"]:
                    waiting.insert(0, (child.index, child.seed + 1))
                else:
                    yield child.index, verdict


def _verdict_of(child: Child, requirement: Requirement, late: bool) -> Any:
    """What a child answers, or what happened to it instead."""
    if late:
        os.kill(child.process, signal.SIGKILL)
    verdict = _read(child.pipe)
    _, status = os.waitpid(child.process, 0)
    if verdict is not None:
        return verdict

    code = os.waitstatus_to_exitcode(status)
    if late:
        happened = NO_REST
    elif code >= 0:
        happened = f"its process ended with exit code {code}"
    else:
        happened = f"its process ended by {signal.Signals(-code).name}"
    return dataclasses.asdict(Verdict(requirement.worst, "an answer", happened))


def _fork(job: Job, index: int, seed: int) -> Child:
    solution, requirement = job
    read, write = os.pipe()
    process = os.fork()
    if process:
        os.close(write)
        return Child(
            index=index,
            seed=seed,
            process=process,
            pipe=read,
            end=time.monotonic() + AT_MOST + GRACE,
        )

    try:
        os.close(read)
        # What a solution prints is its own affair.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)

        def give_up(happened: str) -> None:
            _answer(write, Verdict(requirement.worst, "an answer", happened))

        watch(solution, give_up)
        _answer(write, play(solution, requirement, seed))
    finally:
        os._exit(0)


def _answer(pipe: int, verdict: Verdict) -> None:
    # For good: only one thread answers.
    _ANSWERING.acquire()
    with os.fdopen(pipe, "w") as text:
        text.write(json.dumps(dataclasses.asdict(verdict)))
    os._exit(0)


def _read(pipe: int) -> Any:
    with os.fdopen(pipe) as text, contextlib.suppress(ValueError):
        return json.load(text)
    return None


if __name__ == "__main__":
    main()
