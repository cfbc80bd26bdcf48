"""Plays requirements against a solution: each in a process of its own,
with a fresh import, loop and virtual clock.

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

from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Requirement, Verdict, load_all
from tests.conformance.scenario import play
from tests.conformance.solution import ROOT, Solution
from tests.conformance.watchdog import AT_MOST, NO_REST, watch

GRACE = 4.0  # real seconds, for a process to end itself
CAN_GRADE = hasattr(os, "fork")
NEEDS_POSIX = (
    "grading needs a POSIX system: each requirement is played in a forked process"
)
_ANSWERING = threading.Lock()


def grade(jobs: list[tuple[Solution, Requirement]]) -> Iterator[tuple[int, Verdict]]:
    """Play each job; yields its index and verdict as soon as it is
    there. Raises RuntimeError where it cannot start.
    """
    if not CAN_GRADE:
        raise RuntimeError(NEEDS_POSIX)
    told = [
        [dataclasses.asdict(solution), requirement.name]
        for solution, requirement in jobs
    ]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaints:
        given.write(json.dumps(told).encode())
        given.seek(0)
        command = [sys.executable, "-m", "tests.conformance.play"]
        # Not in asyncio's debug mode, in which no server would run it.
        environ = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONASYNCIODEBUG"
        }
        pipes: dict[str, Any] = {
            "stdin": given,
            "stdout": subprocess.PIPE,
            "stderr": complaints,
        }
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
    for module in ("fastapi", "uvicorn", "concurrent.futures.process"):
        importlib.import_module(module)  # once, so that no child has to
    load_all()
    REQUIREMENTS[PREFLIGHT.name] = PREFLIGHT
    # what is here now is no garbage: collecting it again in each child
    # would only copy its memory
    gc.freeze()
    jobs = [
        (Solution(**solution), REQUIREMENTS[name])
        for solution, name in json.load(sys.stdin)
    ]
    waiting, at_most = [(index, 1) for index in range(len(jobs))], os.cpu_count() or 1
    # By the end of its pipe: the index and seed of what it plays, its
    # process, and when to kill it.
    children: dict[int, tuple[int, int, int, float]] = {}
    with selectors.DefaultSelector() as selector:
        while waiting or children:
            while waiting and len(children) < at_most:
                index, seed = waiting.pop(0)
                pipe, process = _fork(*jobs[index], seed)
                children[pipe] = (
                    index,
                    seed,
                    process,
                    time.monotonic() + AT_MOST + GRACE,
                )
                selector.register(pipe, selectors.EVENT_READ)
            ended = [key.fd for key, _ in selector.select(0.1)]
            late = [
                pipe
                for pipe, (*_, end) in children.items()
                if end < time.monotonic() and pipe not in ended
            ]
            for pipe in ended + late:
                index, seed, process, _ = children.pop(pipe)
                selector.unregister(pipe)
                if pipe in late:
                    os.kill(process, signal.SIGKILL)
                verdict = _read(pipe)
                _, status = os.waitpid(process, 0)
                if verdict is None:
                    code = os.waitstatus_to_exitcode(status)
                    how = (
                        f"with exit code {code}"
                        if code >= 0
                        else f"by {signal.Signals(-code).name}"
                    )
                    happened = NO_REST if pipe in late else f"its process ended {how}"
                    verdict = dataclasses.asdict(
                        Verdict(jobs[index][1].worst, "an answer", happened)
                    )
                if seed < verdict["seeds"]:
                    waiting.insert(0, (index, seed + 1))
                    continue
                sys.stdout.write(json.dumps([index, verdict]) + "\n")
                sys.stdout.flush()


def _fork(solution: Solution, requirement: Requirement, seed: int) -> tuple[int, int]:
    read, write = os.pipe()
    if process := os.fork():
        os.close(write)
        return read, process
    try:
        os.close(read)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # what a solution prints is its own affair
            os.dup2(nowhere, standard)
        watch(
            solution,
            lambda hung: _answer(write, Verdict(requirement.worst, "an answer", hung)),
        )
        _answer(write, play(solution, requirement, seed))
    finally:
        os._exit(0)


def _answer(pipe: int, verdict: Verdict) -> None:
    _ANSWERING.acquire()  # for good: only one thread answers
    with os.fdopen(pipe, "w") as text:
        text.write(json.dumps(dataclasses.asdict(verdict)))
    os._exit(0)


def _read(pipe: int) -> Any:
    with os.fdopen(pipe) as text, contextlib.suppress(ValueError):
        return json.load(text)
    return None


if __name__ == "__main__":
    main()
