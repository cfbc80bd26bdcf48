"""The command's options, and the card at its end.

``pytest tests/conformance --app their.module:app --app-dir path``
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
    """Look at the options before anything is played.

    Raises UsageError.
    """
    config.stash[SOLUTION] = _solution(config)
    _check_report(config)
    if _grades_only(config):
        # The card says it all.
        config.option.tbstyle = "no"
        is_default = config.option.reportchars == "fE"
        if is_default:
            config.option.reportchars = "N"


def _solution(config: pytest.Config) -> Solution:
    """The solution that the options name. Raises UsageError."""
    here = config.invocation_params.dir
    app = config.getoption("--app", None)
    folder = config.getoption("--app-dir", None)
    file = config.getoption("--solution", None)

    given = {}
    if app is not None:
        given["app"] = app
        given["app_dir"] = str(here)
    elif file is None:
        given["app_dir"] = str(ROOT)
    if folder is not None:
        given["app_dir"] = str(here / folder)

    path = None if file is None else here / file
    try:
        solution = Solution.read(path, **given)
    except SolutionError as error:
        raise pytest.UsageError(str(error)) from None
    if not solution.folder.is_dir():
        raise pytest.UsageError(f"{solution.folder} is no folder")
    return solution


def _check_report(config: pytest.Config) -> None:
    """Raises UsageError where a report cannot be written."""
    report = config.getoption("--report", None)
    if report is None:
        return

    if report.suffix not in card.KINDS:
        endings = " or ".join(card.KINDS)
        raise pytest.UsageError(f"--report {report}: the ending is to be {endings}")
    folder = (config.invocation_params.dir / report).parent
    if not folder.is_dir():
        raise pytest.UsageError(f"--report {report}: there is no folder {folder}")


def _grades_only(config: pytest.Config) -> bool:
    return any("conformance" in argument for argument in config.args)


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """The verdict on each requirement that was chosen, by name.

    All are played before the first is reported.
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

    is_running = first.mark == "passed"
    playable = [each for each in chosen if each.source or is_running]
    found = _play(solution, playable)

    graded = [(each, found[each.name]) for each in load_all() if each.name in found]
    if playable != chosen:
        graded = [
            (each, verdict) for each, verdict in graded if verdict.mark != "not graded"
        ]
        graded.insert(0, (PREFLIGHT, first))
    request.config.stash[GRADED] = graded

    # The first of those that could not be played says why.
    unplayed = [each.name for each in chosen if each.name not in found]
    skipped = Verdict("not graded", "", "it could not be played: see the card")
    found |= dict.fromkeys(unplayed, skipped)
    found |= dict.fromkeys(unplayed[:1], first)
    return found


def _play(solution: Solution, playable: list[Requirement]) -> dict[str, Verdict]:
    """The verdicts by name; a terminal shows how many there are yet."""
    found: dict[str, Verdict] = {}
    for index, verdict in grade([(solution, requirement) for requirement in playable]):
        found[playable[index].name] = verdict
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(found)} of {len(playable)} requirements played")
    return found


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    graded = config.stash.get(GRADED, None)
    if graded is None:
        return

    solution = config.stash[SOLUTION]
    if _grades_only(config):
        terminalreporter.section("score card")
        terminalreporter.write_line(card.text(graded, solution))

    report = config.getoption("--report", None)
    if report is not None:
        path = config.invocation_params.dir / report
        try:
            card.write(path, graded, solution)
        except OSError as error:
            terminalreporter.write_line(f"the report could not be written: {error}")
        else:
            terminalreporter.write_line(f"written to {path}")
