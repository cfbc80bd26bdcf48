"""Grade one submission, or a class: ``python -m tests.conformance``.

A card and a letter for each are written, and one table for all.
"""

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path

from tests.conformance import card, table
from tests.conformance.classroom import Graded, Session
from tests.conformance.compare import CompareError, compared
from tests.conformance.environments import Environments
from tests.conformance.letter import letter
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX
from tests.conformance.policy import Policy, PolicyError
from tests.conformance.requirement import load_all
from tests.conformance.submissions import (
    OF_ALL,
    ClassError,
    Submission,
    submissions,
)

EPILOGUE = """
A path is a submission (a folder or a .zip), a folder of submissions, or
a CSV file with columns "path" or "name", or both, and "app" where that
is to be said. What is graded is kept in --out: the same command, given again,
grades only what has changed.
"""


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        if given.compare:
            sys.stdout.write(compared(*given.compare) + "\n")
            return 0
        if not given.paths:
            parser.error("no submission is named")
        if not CAN_GRADE:
            parser.error(NEEDS_POSIX)
        policy = Policy.read(given.policy) if given.policy else Policy()
        found = submissions(given.paths, given.app)
    except (ClassError, CompareError, PolicyError) as error:
        parser.error(str(error))

    try:
        rows = asyncio.run(_grade(found, policy, given))
    except KeyboardInterrupt:
        sys.stderr.write("\nwhat is graded is kept: the same command goes on\n")
        return 130
    below = [row for row in rows if row.percent < given.fail_under]
    if below:
        names = ", ".join(row.name for row in below)
        sys.stderr.write(f"below {given.fail_under:g} %: {names}\n")
    return 1 if below else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Grade solutions of the exercise.",
        epilog=EPILOGUE,
    )
    parser.add_argument("paths", metavar="PATH", nargs="*", type=Path)
    parser.add_argument(
        "--app",
        default="",
        metavar="MODULE:NAME",
        help="the application in each (default: it is looked for)",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="a TOML file: weights, lines switched off, own numbers",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("graded"),
        metavar="FOLDER",
        help="where tables, cards and letters are written (default: graded)",
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="submissions at a time (default: one for each core)",
    )
    parser.add_argument(
        "--timeout",
        type=_positive,
        default=900,
        metavar="SECONDS",
        help="for one submission (default: 900)",
    )
    parser.add_argument(
        "--current-environment",
        action="store_true",
        help="grade with this Python and install nothing",
    )
    parser.add_argument(
        "--environments",
        type=Path,
        metavar="FOLDER",
        help="where environments are kept (default: in --out)",
    )
    parser.add_argument(
        "--no-hints",
        action="store_true",
        help="cards and letters without pointers into the model solution",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="grade also what has not changed",
    )
    parser.add_argument(
        "--fail-under",
        type=_percent,
        default=0.0,
        metavar="PERCENT",
        help="end with 1 where a submission has less",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("BEFORE", "AFTER"),
        help="compare two card.json, or the --out of two runs, and grade nothing",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _percent(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 100:
        raise ValueError
    return number


async def _grade(
    found: list[Submission], policy: Policy, given: argparse.Namespace
) -> list[table.Row]:
    """Grade all, and write what is to be written."""
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    watch = Watch(len(found))
    session = Session(
        out=out,
        environments=Environments(
            (given.environments or out / ".environments").resolve(),
            current_only=given.current_environment,
        ),
        jobs=given.jobs,
        timeout=given.timeout,
        numbers=policy.numbers,
        again=given.again,
        progress=watch.played,
    )

    rows: dict[str, table.Row] = {}
    async with contextlib.aclosing(session.grade(found)) as every:
        async for graded in every:
            row = table.row_of(graded, policy)
            rows[graded.submission.name] = row
            watch.ended(row)
            _write(session.folder_of(graded.submission), graded, policy, given)
            if len(found) == 1:
                _show_card(graded, policy, given)

    ordered = [rows[submission.name] for submission in found]
    as_csv, as_json, as_page = (out / name for name in OF_ALL)
    as_csv.write_text(table.as_csv(ordered), encoding="utf-8")
    as_json.write_text(table.as_json(ordered, policy), encoding="utf-8")
    as_page.write_text(table.as_page(ordered, policy), encoding="utf-8")
    sys.stdout.write(f"{table.text(ordered)}\n\n{table.summary(ordered)}\n")
    sys.stdout.write(f"written to {out}: table.html, and a folder for each\n")
    return ordered


def _write(
    folder: Path, graded: Graded, policy: Policy, given: argparse.Namespace
) -> None:
    """Write a submission's card and letter."""
    hints = not given.no_hints
    folder.mkdir(parents=True, exist_ok=True)
    written = letter(graded, policy, hints=hints)
    (folder / "letter.md").write_text(written, encoding="utf-8")
    for ending in card.KINDS:
        path = folder / f"card{ending}"
        if graded.solution is None:
            path.unlink(missing_ok=True)
        else:
            shown = policy.shown(graded.lines)
            card.write(path, shown, graded.solution, hints=hints)


def _show_card(graded: Graded, policy: Policy, given: argparse.Namespace) -> None:
    if graded.solution is not None:
        shown = policy.shown(graded.lines)
        told = card.text(shown, graded.solution, hints=not given.no_hints)
        lines = map(table.printable, told.splitlines())
        sys.stdout.write("\n".join(lines) + "\n\n")


class Watch:
    """Shows on the standard error how far it has come."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._ended = 0
        self._is_terminal = sys.stderr.isatty()
        # By name, the lines played of those that are under way.
        self._playing: dict[str, int] = {}

    def played(self, submission: Submission, count: int) -> None:
        self._playing[submission.name] = count
        if self._is_terminal:
            self._show()

    def ended(self, row: table.Row) -> None:
        self._ended += 1
        self._playing.pop(row.name, None)
        how = "unchanged" if row.unchanged else f"{row.seconds:g} s"
        told = f"{row.points:g} of {row.of:g} points, {how}"
        if not row.passed and not row.failed:
            told = row.reason
        start = "\r\x1b[K" if self._is_terminal else ""
        sys.stderr.write(f"{start}[{self._ended}/{self._count}] {row.name}: {told}\n")
        if self._is_terminal:
            self._show()

    def _show(self) -> None:
        every = len(load_all())
        under_way = [
            f"{table.plain(name)[:20]} {count} of {every}"
            for name, count in self._playing.items()
        ]
        line = f"[{self._ended}/{self._count}] {'; '.join(under_way)}"
        sys.stderr.write(f"\r\x1b[K{line[:100]}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
