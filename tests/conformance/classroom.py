"""Classroom: grades many submissions, some at a time.

Rules: a submission is graded from a copy, in processes that are ended
with all they started when its time is over. Whatever goes wrong with
one becomes the reason in its row. What is graded and has not changed is
not graded again.
"""

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from tests.conformance import archive, card
from tests.conformance.environments import Environments, environ
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import REQUIREMENTS, Verdict, load_all
from tests.conformance.solution import NUMBERS, ROOT, Solution
from tests.conformance.submissions import (
    Submission,
    SubmissionError,
    slug,
    solution_in,
)

# The file with a submission's verdicts, for the next run.
KEPT = "verdicts.json"
# Real seconds, for a sitting to end what it started.
PATIENCE = 5
# Bytes of one line of what a sitting tells.
LONGEST_LINE = 4 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Graded:
    """What came of one submission."""

    submission: Submission
    # None where it got no further than ``problem`` says.
    solution: Solution | None = None
    lines: card.Graded = dataclasses.field(default_factory=list)
    problem: str = ""
    # Whether it is as it was when it was graded before.
    unchanged: bool = False
    # Of real time.
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Session:
    """How a class is graded."""

    # Where cards are kept, in a folder for each submission.
    out: Path
    environments: Environments
    # Submissions at a time.
    jobs: int
    # Real seconds for each.
    timeout: float
    # By name, those of NUMBERS that differ from the exercise's.
    numbers: dict[str, int]
    # Whether those that have not changed are graded again.
    again: bool = False
    # Called with how many lines a submission has been played on.
    progress: Callable[[Submission, int], None] = lambda *_: None

    async def grade(
        self, submissions: list[Submission]
    ) -> AsyncGenerator[Graded, None]:
        """Yields each as it is graded."""
        free = asyncio.Semaphore(self.jobs)

        async def one(submission: Submission) -> Graded:
            async with free:
                begun = time.monotonic()
                graded = await self._one(submission)
                seconds = round(time.monotonic() - begun, 1)
                return dataclasses.replace(graded, seconds=seconds)

        tasks = [asyncio.create_task(one(each)) for each in submissions]
        try:
            for next_done in asyncio.as_completed(tasks):
                yield await next_done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, submission: Submission) -> Graded:
        try:
            with tempfile.TemporaryDirectory(prefix="submission-") as scratch:
                copy = _real(scratch) / slug(submission.name)
                return await self._graded_in(submission, copy)
        except (archive.ArchiveError, SubmissionError) as error:
            return Graded(submission, problem=str(error))
        except Exception as error:
            # The others are to be graded all the same.
            problem = f"the grading itself failed: {type(error).__name__}: {error}"
            return Graded(submission, problem=problem)

    async def _graded_in(self, submission: Submission, copy: Path) -> Graded:
        """Grade a submission from its copy, which is made here.

        Raises ArchiveError or SubmissionError.
        """
        project = await asyncio.to_thread(taken_in, submission, copy)
        solution = solution_in(project, submission.app)
        solution = dataclasses.replace(solution, **_all_numbers(self.numbers))
        python = await self.environments.python_for(project)

        # It is shown as where it came from, not as its copy.
        below = solution.folder.relative_to(project.resolve())
        shown = dataclasses.replace(solution, app_dir=str(submission.path / below))
        content = await asyncio.to_thread(archive.digest, project)
        fingerprint = _fingerprint(content, shown, python)
        kept = {} if self.again else self._kept(submission, fingerprint)
        if kept:
            return _graded(submission, shown, kept, unchanged=True)

        told = await self._sitting(submission, solution, python)
        verdicts = {
            name: _without(verdict, f"{copy.parent}{os.sep}")
            for name, verdict in told.items()
        }
        self._keep(submission, fingerprint, verdicts)
        return _graded(submission, shown, verdicts)

    # One sitting

    async def _sitting(
        self, submission: Submission, solution: Solution, python: str
    ) -> dict[str, Verdict]:
        """All verdicts by the name of the requirement.

        Raises SubmissionError where the process does not end well.
        """
        with tempfile.TemporaryFile() as complaints:
            process = await asyncio.create_subprocess_exec(
                python,
                "-m",
                "tests.conformance.sitting",
                cwd=ROOT,
                env=environ() | {"PYTHONHASHSEED": "0"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                limit=LONGEST_LINE,
                # So that it can be ended with all that it started.
                start_new_session=True,
            )
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps(dataclasses.asdict(solution)).encode())
                process.stdin.close()
                verdicts = await self._told_by(process, submission)
                complaint = _last_line_of(complaints)
            finally:
                await _end(process)

        if process.returncode:
            raise SubmissionError(
                f"its grading ended with {process.returncode}: {complaint}"
            )
        return verdicts

    async def _told_by(
        self, process: asyncio.subprocess.Process, submission: Submission
    ) -> dict[str, Verdict]:
        """What a sitting tells, until it has ended.

        Raises SubmissionError when its time is over.
        """
        assert process.stdout is not None
        verdicts: dict[str, Verdict] = {}
        played = 0

        async def listen(stdout: asyncio.StreamReader) -> None:
            nonlocal played
            async for line in stdout:
                name, verdict = json.loads(line)
                verdicts[name] = Verdict(**verdict)
                played += name in REQUIREMENTS
                self.progress(submission, played)
            await process.wait()

        try:
            await asyncio.wait_for(listen(process.stdout), self.timeout)
        except asyncio.TimeoutError:
            raise SubmissionError(
                f"it was not graded within {self.timeout:g} s, "
                f"after {played} of {len(load_all())} lines"
            ) from None
        return verdicts

    # What is kept

    def folder_of(self, submission: Submission) -> Path:
        """Where all that is written on a submission is."""
        return self.out / slug(submission.name)

    def _kept(self, submission: Submission, fingerprint: str) -> dict[str, Verdict]:
        """The verdicts of an earlier run; none where it has changed."""
        file = self.folder_of(submission) / KEPT
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept["fingerprint"] != fingerprint:
                return {}
            return {
                name: Verdict(**fields) for name, fields in kept["verdicts"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _keep(
        self, submission: Submission, fingerprint: str, verdicts: dict[str, Verdict]
    ) -> None:
        """Keep them, whole or not at all."""
        kept = {
            "fingerprint": fingerprint,
            "verdicts": {
                name: dataclasses.asdict(verdict) for name, verdict in verdicts.items()
            },
        }
        folder = self.folder_of(submission)
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"{KEPT}.new"
        new.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        new.replace(folder / KEPT)


def _real(path: str) -> Path:
    """Without a link in it, as tracebacks have it."""
    return Path(path).resolve()


def taken_in(submission: Submission, copy: Path) -> Path:
    """Copy or unpack a submission; the folder in which its files are.

    Raises ArchiveError or SubmissionError.
    """
    path = submission.path
    if path.is_dir():
        inside = [each for each in path.iterdir() if not each.name.startswith(".")]
        match inside:
            case [only] if only.suffix.lower() == ".zip":
                # As learning platforms hand it out.
                archive.unpack(only, copy)
            case _:
                archive.copy(path, copy)
    elif path.is_file():
        archive.unpack(path, copy)
    else:
        raise SubmissionError("there is no such folder or zip")
    return archive.innermost(copy)


def _graded(
    submission: Submission,
    solution: Solution,
    verdicts: dict[str, Verdict],
    *,
    unchanged: bool = False,
) -> Graded:
    """With the lines of the card in its order.

    Where nothing could be played, the preflight is the first of them.
    """
    first = verdicts[PREFLIGHT.name]
    lines = [
        (requirement, verdicts[requirement.name])
        for requirement in load_all()
        if requirement.name in verdicts
    ]
    if first.mark != "passed":
        lines = [line for line in lines if line[1].mark != "not graded"]
        lines.insert(0, (PREFLIGHT, first))
    solution = dataclasses.replace(solution, **first.found)
    return Graded(submission, solution, lines, unchanged=unchanged)


def _without(verdict: Verdict, path: str) -> Verdict:
    """Without the path of a copy that is gone."""
    return dataclasses.replace(
        verdict,
        expected=verdict.expected.replace(path, ""),
        happened=verdict.happened.replace(path, ""),
        warnings=[warning.replace(path, "") for warning in verdict.warnings],
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it with all that it started, which it may do itself first."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), PATIENCE)


def _last_line_of(file: Any) -> str:
    file.seek(0)
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f"{lines[-1]:.300}" if lines else "it did not say why"


def _all_numbers(changed: dict[str, int]) -> dict[str, Any]:
    """Every number of the exercise, whatever a submission says."""
    exercise = {name: getattr(Solution(), name) for name in NUMBERS}
    return exercise | changed


def _fingerprint(content: str, solution: Solution, python: str) -> str:
    """What verdicts depend on, as a hash."""
    parts = [content, dataclasses.asdict(solution), python, sys.version, _grader()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@functools.cache
def _grader() -> str:
    """A hash of all that grades."""
    found = hashlib.sha256()
    folder = Path(__file__).parent
    for path in (*sorted(folder.glob("*.py")), ROOT / "taskmanager" / "testing.py"):
        found.update(path.read_bytes())
    return found.hexdigest()
