"""``pytest tests/conformance --app their.module:app --app-dir path``: options, and the card at the end."""

import sys
from pathlib import Path

import pytest

from tests.conformance import card
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, grade
from tests.conformance.requirement import Requirement, Verdict, load_all
from tests.conformance.solution import Solution, SolutionError

GRADED = pytest.StashKey[card.Graded]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "grading a solution of the exercise")
    group.addoption("--app", metavar="MODULE:NAME", help="the ASGI application to grade (default: main:app)")
    group.addoption("--app-dir", metavar="FOLDER", help="the folder of its project (default: this one)")
    group.addoption("--solution", metavar="FILE", type=Path, help="a TOML file with its task types and names")
    group.addoption("--report", metavar="FILE", type=Path, help="write the card to FILE, .md or .html")


def pytest_configure(config: pytest.Config) -> None:
    report = config.getoption("--report", None)
    if report is not None and report.suffix not in (".md", ".html"):
        raise pytest.UsageError(f"--report {report}: the ending is to be .md or .html")
    if _grades_only(config):
        config.option.tbstyle = "no"  # the card says it all


def _grades_only(config: pytest.Config) -> bool:
    return any("conformance" in argument for argument in config.args)


@pytest.fixture(scope="session")
def solution(request: pytest.FixtureRequest) -> Solution:
    return solution_of(request.config)


def solution_of(config: pytest.Config) -> Solution:
    given = {key: config.getoption(f"--{key.replace('_', '-')}", None) for key in ("app", "app_dir")}
    try:
        return Solution.read(config.getoption("--solution", None), **{k: v for k, v in given.items() if v is not None})
    except SolutionError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest, solution: Solution) -> dict[str, Verdict]:
    """The verdict on each requirement that was chosen, by name; all are played before the first is reported."""
    if not CAN_GRADE:
        pytest.skip(NEEDS_POSIX)
    chosen: list[Requirement] = [
        item.callspec.params["requirement"]
        for item in request.session.items
        if "verdicts" in getattr(item, "fixturenames", ())
    ]
    found: dict[str, Verdict] = {}
    for count, (index, verdict) in enumerate(grade([(solution, requirement) for requirement in chosen]), 1):
        found[chosen[index].name] = verdict
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{count} of {len(chosen)} requirements played")
    request.config.stash[GRADED] = [
        (requirement, found[requirement.name]) for requirement in load_all() if requirement.name in found
    ]
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if (graded := config.stash.get(GRADED, None)) is None:
        return
    app, report = solution_of(config).app, config.getoption("--report", None)
    if _grades_only(config):
        terminalreporter.section("score card")
        terminalreporter.write_line(card.text(graded, app))
    if report is not None:
        card.write(report, graded, app)
        terminalreporter.write_line(f"written to {report}")
