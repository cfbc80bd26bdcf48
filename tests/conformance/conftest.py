"""``pytest tests/conformance --app their.module:app --app-dir path``:
options, and the card at the end.
"""

import dataclasses
import sys
from pathlib import Path

import pytest

from tests.conformance import card
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, grade
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import Requirement, Verdict, load_all
from tests.conformance.solution import ROOT, Solution, SolutionError

SOLUTION = pytest.StashKey[Solution]()
GRADED = pytest.StashKey[card.Graded]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "grading a solution of the exercise")
    group.addoption(
        "--app",
        metavar="MODULE:NAME",
        help="the ASGI application to grade (default: this project's)",
    )
    group.addoption(
        "--app-dir",
        metavar="FOLDER",
        type=Path,
        help="the folder of its project (default: where you are)",
    )
    group.addoption(
        "--solution",
        metavar="FILE",
        type=Path,
        help="a TOML file with its task types and names",
    )
    group.addoption(
        "--report",
        metavar="FILE",
        type=Path,
        help="write the card to FILE, .md or .html",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Look at the options before anything is played. Raises UsageError."""
    app, folder, file, report = (
        config.getoption(f"--{name}", None)
        for name in ("app", "app-dir", "solution", "report")
    )
    here = config.invocation_params.dir
    given = (
        {"app": app, "app_dir": str(here)}
        if app is not None
        else {"app_dir": str(ROOT)}
        if file is None
        else {}
    )
    if folder is not None:
        given["app_dir"] = str(here / folder)
    try:
        solution = Solution.read(None if file is None else here / file, **given)
    except SolutionError as error:
        raise pytest.UsageError(str(error)) from None
    if not solution.folder.is_dir():
        raise pytest.UsageError(f"{solution.folder} is no folder")
    if report is not None and report.suffix not in card.KINDS:
        raise pytest.UsageError(
            f"--report {report}: the ending is to be {' or '.join(card.KINDS)}"
        )
    if report is not None and not (here / report).parent.is_dir():
        raise pytest.UsageError(
            f"--report {report}: there is no folder {(here / report).parent}"
        )
    config.stash[SOLUTION] = solution
    if _grades_only(config):
        config.option.tbstyle = "no"  # the card says it all
        if config.option.reportchars == "fE":  # the default
            config.option.reportchars = "N"


def _grades_only(config: pytest.Config) -> bool:
    return any("conformance" in argument for argument in config.args)


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """The verdict on each requirement that was chosen, by name; all are
    played before the first is reported.
    """
    if not CAN_GRADE:
        pytest.skip(NEEDS_POSIX)
    chosen: list[Requirement] = [
        item.callspec.params["requirement"]
        for item in request.session.items
        if item.path == Path(__file__).with_name("test_card.py")
    ]
    solution = request.config.stash[SOLUTION]
    [(_, first)] = grade([(solution, PREFLIGHT)])
    solution = dataclasses.replace(solution, **first.found)
    request.config.stash[SOLUTION] = solution
    playable = [
        requirement
        for requirement in chosen
        if requirement.source or first.mark == "passed"
    ]
    found: dict[str, Verdict] = {}
    for count, (index, verdict) in enumerate(
        grade([(solution, requirement) for requirement in playable]), 1
    ):
        found[playable[index].name] = verdict
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{count} of {len(playable)} requirements played")
    graded = [
        (requirement, found[requirement.name])
        for requirement in load_all()
        if requirement.name in found
    ]
    if playable != chosen:
        graded = [
            (PREFLIGHT, first),
            *(line for line in graded if line[1].mark != "not graded"),
        ]
    request.config.stash[GRADED] = graded
    unplayed = [
        requirement.name for requirement in chosen if requirement.name not in found
    ]
    skipped = Verdict("not graded", "", "it could not be played: see the card")
    return dict.fromkeys(unplayed, skipped) | dict.fromkeys(unplayed[:1], first) | found


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if (graded := config.stash.get(GRADED, None)) is None:
        return
    solution, report = config.stash[SOLUTION], config.getoption("--report", None)
    if _grades_only(config):
        terminalreporter.section("score card")
        terminalreporter.write_line(card.text(graded, solution))
    if report is not None:
        path = config.invocation_params.dir / report
        try:
            card.write(path, graded, solution)
        except OSError as error:
            terminalreporter.write_line(f"the report could not be written: {error}")
        else:
            terminalreporter.write_line(f"written to {path}")
