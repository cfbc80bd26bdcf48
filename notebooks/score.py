"""``python -m notebooks.score FOLDER``: run the checks over a class.

Every notebook below FOLDER is executed in a kernel of its own, within
bounds of time. A table says which exercises are right, which are wrong,
and which were left as they were given.

This runs the code of whoever wrote the notebooks, with your rights: it
is no sandbox. Use it on a machine, or in a container, on which nothing
is to be stolen or broken. And it takes a learner's word: whoever
copies a solution is told "Right.", too.
"""

import argparse
import ast
import asyncio
import csv
import json
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from notebooks.patience import run_for_real
from notebooks.refresh import FOLDER, names, read

RIGHT = "right"
WRONG = "wrong"
NOT_ATTEMPTED = "not attempted"
NOT_REACHED = "not reached"

CELL = 60  # seconds, for each cell
NOTEBOOK = 300.0  # seconds, for each notebook
IMPORT = re.compile(r"from notebooks\.checks import (\w+)")
CALL = r"\b(?:check|{})\.(\w+)\("
# What stands in a cell that is put after each call of a check.
COLLECT = "__import__('notebooks.checks').checks.taken()"


@dataclass(frozen=True)
class Lesson:
    """A lesson, and the cell of each exercise as it is given."""

    name: str
    module: str
    given: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What became of one exercise, and what its check said."""

    exercise: str
    verdict: str
    message: str = ""


@dataclass
class Scored:
    """A notebook that was found, and its exercises.

    ``fault`` says why it could not be run, or not to its end.
    """

    student: str
    file: str
    lesson: str = "?"
    outcomes: list[Outcome] = field(default_factory=list)
    fault: str = ""

    def count(self, verdict: str) -> int:
        return sum(outcome.verdict == verdict for outcome in self.outcomes)


def lessons() -> dict[str, Lesson]:
    """The lessons of this course, by the module of their checks."""
    found = {}
    for name in names():
        notebook = read(name)
        module = module_of(notebook)
        assert module is not None, name
        given: dict[str, str] = {}
        for cell in code_of(notebook):
            # In a lesson, the module's name may be that of an engine's.
            given |= dict.fromkeys(_called(cell, "check"), cell.source)
        found[module] = Lesson(name, module, given)
    return found


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def module_of(notebook: NotebookNode) -> str | None:
    """Whose checks the notebook imports: by that a lesson is known."""
    for cell in code_of(notebook):
        found = IMPORT.search(cell.source)
        if found:
            return found[1]
    return None


def found_in(folder: Path) -> list[Path]:
    """All notebooks below the folder, but for Jupyter's checkpoints."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() == ".ipynb"
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def student_of(path: Path, folder: Path) -> str:
    """The folder in which it lies; at the top, the name of the file."""
    within = path.relative_to(folder)
    if within.parent.name:
        return within.parent.as_posix()
    return within.stem


async def score(
    path: Path, folder: Path, course: dict[str, Lesson], limit: float = NOTEBOOK
) -> Scored:
    """Run one notebook, and say what its exercises are worth."""
    scored = Scored(student_of(path, folder), path.relative_to(folder).as_posix())
    try:
        with warnings.catch_warnings():
            # Such as those about cells without ids.
            warnings.simplefilter("ignore")
            notebook = nbformat.read(path, as_version=4)
        module = module_of(notebook)
    except Exception as error:
        scored.fault = f"cannot be read: {type(error).__name__}"
        return scored

    if module not in course:
        scored.fault = "imports the checks of no lesson of this course"
        return scored

    lesson = course[module]
    scored.lesson = lesson.name
    prepare(notebook, lesson)
    scored.fault = await _run(notebook, limit)
    scored.outcomes = [outcome_of(notebook, lesson, name) for name in lesson.given]
    return scored


def prepare(notebook: NotebookNode, lesson: Lesson) -> None:
    """Forget what it says, and ask after each call of a check."""
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "code":
            cell.outputs = []
            if _asked(cell, lesson):
                cells.append(nbformat.v4.new_code_cell(COLLECT))
    notebook.cells = cells


def _asked(cell: NotebookNode, lesson: Lesson) -> set[str]:
    """The exercises of the lesson whose checks the cell calls."""
    return lesson.given.keys() & _called(cell, lesson.module)


def _called(cell: NotebookNode, module: str) -> set[str]:
    return set(re.findall(CALL.format(module), cell.source))


class _Client(NotebookClient):
    """Keeps no output but results and errors.

    A notebook may print for ever.
    """

    def output(
        self,
        outs: list[NotebookNode],
        msg: dict[str, object],
        display_id: str | None,
        cell_index: int,
    ) -> NotebookNode | None:
        if msg["msg_type"] in ("execute_result", "error"):
            return super().output(outs, msg, display_id, cell_index)
        return None


async def _run(notebook: NotebookNode, limit: float) -> str:
    """Execute it, and return why it was not run to its end, or ""."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        client = _Client(
            notebook,
            timeout=CELL,
            interrupt_on_timeout=True,
            allow_errors=True,
            record_timing=False,
            kernel_name="python3",
            extra_arguments=["--log-level=CRITICAL"],
            resources={"metadata": {"path": scratch}},
        )
        client.log.setLevel("CRITICAL")
        run = asyncio.ensure_future(client.async_execute(env=_environment(scratch)))
        # Not wait_for: nbclient, once cancelled, says that its kernel
        # has died.
        try:
            ended, _ = await asyncio.wait([run], timeout=limit)
        except asyncio.CancelledError:
            client.shutdown_kernel = "immediate"
            raise
        finally:
            run.cancel()
            await asyncio.wait([run])

    if not ended:
        return f"was stopped after {limit:g} s"
    match run.exception():
        case None:
            return ""
        case DeadKernelError():
            return "its kernel died"
        case error:
            return f"cannot be run: {type(error).__name__}"


def _environment(scratch: str) -> dict[str, str]:
    """The kernel finds this course, and not the files of its user."""
    path = [str(FOLDER), str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    given = {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "IPYTHONDIR": scratch,
    }
    return os.environ | given


def outcome_of(notebook: NotebookNode, lesson: Lesson, exercise: str) -> Outcome:
    """What the last attempt is worth.

    A cell that is as it was given is no attempt, wherever it stands.
    """
    attempts = [
        cell
        for cell in code_of(notebook)
        if exercise in _asked(cell, lesson)
        and not _same(cell.source, lesson.given[exercise])
    ]
    if not attempts:
        return Outcome(exercise, NOT_ATTEMPTED)

    name = f"{lesson.module}.{exercise}"
    for cell in reversed(attempts):
        said = _said_after(notebook, cell)
        if said is not None and name in said:
            complaint = said[name]
            if complaint is None:
                return Outcome(exercise, RIGHT)
            return Outcome(exercise, WRONG, _line(complaint))

    if all(_said_after(notebook, cell) is None for cell in attempts):
        return Outcome(exercise, NOT_REACHED)
    return Outcome(exercise, WRONG, _why_silent(attempts[-1]))


def _said_after(
    notebook: NotebookNode, attempt: NotebookNode
) -> dict[str, str | None] | None:
    """What the checks said in this cell, or None if it was not run."""
    after = next(
        position + 1 for position, cell in enumerate(notebook.cells) if cell is attempt
    )
    for output in notebook.cells[after].outputs:
        if output.output_type == "execute_result":
            said: dict[str, str | None] = json.loads(
                ast.literal_eval(output.data["text/plain"])
            )
            return said
    return None


def _why_silent(cell: NotebookNode) -> str:
    """Why the check of this cell has said nothing."""
    for output in cell.outputs:
        if output.get("ename") == "KeyboardInterrupt":
            return f"the cell was stopped after {CELL} s"
        if output.output_type == "error":
            return _line(f"the cell raises {output.ename}: {output.evalue}")
    return "the check was not called"


def _same(code: str, given: str) -> bool:
    """Whether it is the same program, but for comments and spaces."""
    if code == given:
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(code)) == ast.dump(ast.parse(given))
    except (SyntaxError, ValueError):
        return False


def _line(text: str) -> str:
    """The text in one line, without what would move a cursor."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.split())


async def score_all(
    paths: list[Path], folder: Path, limit: float, jobs: int, scored: list[Scored]
) -> None:
    """Score them, so many at a time; append each when it is done."""
    # A kernel that was stopped leaves errors behind, for nobody to see.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    course = lessons()
    turn = asyncio.Semaphore(jobs)

    async def one(path: Path) -> None:
        async with turn:
            begun = time.monotonic()
            result = await score(path, folder, course, limit)
            scored.append(result)
            seconds = time.monotonic() - begun
            told = f"{result.count(RIGHT)} of {len(result.outcomes)} right"
            where = f"[{len(scored)}/{len(paths)}] {_line(result.file)}"
            print(f"{where}: {result.fault or told}, {seconds:.0f} s", flush=True)

    await asyncio.gather(*map(one, paths))


def table_of(scored: Iterable[Scored]) -> str:
    """A row for each notebook, and below it what is wrong."""
    heads = ["student", "lesson", RIGHT, WRONG, NOT_ATTEMPTED]
    rows = []
    for each in scored:
        counts = [str(each.count(verdict)) for verdict in heads[2:]]
        rows.append([_line(each.student), each.lesson, *counts])
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    lines = [_row(heads, widths)]
    for each, row in zip(scored, rows, strict=True):
        lines.append(_row(row, widths))
        if each.fault:
            lines.append(f"    {_line(each.file)} {each.fault}")
        for outcome in each.outcomes:
            if outcome.verdict in (WRONG, NOT_REACHED):
                told = outcome.message or outcome.verdict
                lines.append(f"    {outcome.exercise}: {told}")
    return "\n".join(lines)


def _row(cells: list[str], widths: list[int]) -> str:
    texts = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(texts).rstrip()


def write_csv(scored: Iterable[Scored], file: TextIO) -> None:
    """A line for each exercise; one for a notebook that has none."""
    writer = csv.writer(file)
    writer.writerow(["student", "file", "lesson", "exercise", "verdict", "message"])
    for each in scored:
        start = [each.student, each.file, each.lesson]
        if each.fault:
            writer.writerow(map(_harmless, [*start, "", "", each.fault]))
        for outcome in each.outcomes:
            fields = [outcome.exercise, outcome.verdict, outcome.message]
            writer.writerow(map(_harmless, [*start, *fields]))


def _harmless(text: str) -> str:
    """The text, which no spreadsheet takes for a formula."""
    if text.startswith(("=", "+", "-", "@")):
        return f"'{text}"
    return text


def _positive(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return float(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m notebooks.score",
        description="Run the checks of the exercises over a class's notebooks.",
        epilog="It executes the notebooks' code with your rights: it is no sandbox.",
    )
    parser.add_argument("folder", type=Path, help="its notebooks, however deep")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write this")
    parser.add_argument(
        "--jobs", type=_count, default=1, help="notebooks at a time (default: 1)"
    )
    parser.add_argument(
        "--timeout",
        type=_positive,
        default=NOTEBOOK,
        metavar="SECONDS",
        help=f"for each notebook (default: {NOTEBOOK:g})",
    )
    arguments = parser.parse_args()

    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder")
    paths = found_in(arguments.folder)
    if not paths:
        parser.error(f"there is no notebook below {arguments.folder}")
    if arguments.csv:
        # Better now than when everything has been run.
        try:
            arguments.csv.touch()
        except OSError as error:
            parser.error(f"{arguments.csv} cannot be written: {error.strerror}")

    print(f"{len(paths)} found. Their code runs here, with your rights.", flush=True)
    scored: list[Scored] = []
    stopped = False
    try:
        run_for_real(
            score_all(
                paths, arguments.folder, arguments.timeout, arguments.jobs, scored
            )
        )
    except KeyboardInterrupt:
        stopped = True
        print(f"Stopped after {len(scored)} of {len(paths)}.")

    scored.sort(key=lambda each: (each.student, each.lesson, each.file))
    print(f"\n{table_of(scored)}")
    if arguments.csv:
        with arguments.csv.open("w", encoding="utf-8", newline="") as file:
            write_csv(scored, file)
    if stopped:
        # Else nbclient would end, and complain of, kernels that have
        # ended. One that is left ends with this process.
        sys.stdout.flush()
        os._exit(130)


if __name__ == "__main__":
    main()
