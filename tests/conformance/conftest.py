"""The command's options, and the card at its end.

``pytest tests/conformance --app their.module:app --app-dir path``
"""

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import card
from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, GradingError, Player
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import Requirement, Verdict, load_all, worst_of
from tests.conformance.solution import ROOT, Solution, SolutionError

SOLUTION = pytest.StashKey[Solution]()
GRADED = pytest.StashKey[card.Graded]()
# How the grading itself has failed.
FAILURE = pytest.StashKey[str]()
# Seconds between two times that the report is written.
PAUSE = 0.5


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
    group.addoption(
        "--seed",
        metavar="N",
        type=_natural,
        help="of all that is random (default: 1)",
    )
    group.addoption(
        "--repeat",
        metavar="N",
        type=_natural,
        help="play all N times, each with another seed, and mark what is flaky",
    )


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


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


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Put away the plugins that happen to be installed.

    pytest.ini does, where pytest finds it: a folder that is given as an
    argument of its own may lead it to other settings.
    """
    if not _grades_only(session.config):
        return

    manager = session.config.pluginmanager
    for plugin, _ in manager.list_plugin_distinfo():
        if manager.is_registered(plugin):
            manager.unregister(plugin)


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
def ready_to_freeze() -> None:
    """In place of the project's own: nothing is frozen here."""


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """The verdict on each requirement that was chosen, by name.

    All are played before the first is reported.
    """
    if not CAN_GRADE:
        pytest.skip(NEEDS_POSIX)

    given = [
        item.callspec.params["requirement"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == Path(__file__).with_name("test_card.py")
    ]
    chosen = [each for each in given if isinstance(each, Requirement)]
    session = Session(request.config, chosen)
    with _ended_in_order():
        session.play()
    return session.verdicts()


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """A SIGTERM ends it as Ctrl-C does: with the card so far."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Session:
    """Plays what was chosen, and keeps each verdict as it comes."""

    def __init__(self, config: pytest.Config, chosen: list[Requirement]) -> None:
        self._config = config
        self._chosen = chosen
        # By name, one for each run.
        self._played: dict[str, list[Verdict]] = {each.name: [] for each in chosen}
        self._first: Verdict | None = None
        # Why it ended before all was played.
        self._end = "it was ended before this was played"
        self._written = 0.0

    def play(self) -> None:
        seed = self._config.getoption("--seed", None) or 1
        repeat = self._config.getoption("--repeat", None) or 1
        try:
            for run in range(repeat):
                with Player(seed + run) as player:
                    self._play_once(player)
        except GradingError as error:
            self._end = f"the grading itself failed: {error}"
            self._config.stash[FAILURE] = str(error)
        self._keep()

    def _play_once(self, player: Player) -> None:
        solution = self._config.stash[SOLUTION]
        if self._first is None:
            [(_, self._first)] = player.play([(solution, PREFLIGHT)])
            solution = dataclasses.replace(solution, **self._first.found)
            self._config.stash[SOLUTION] = solution

        playable = [each for each in self._chosen if each.source or self._is_running]
        playing = player.play([(solution, each) for each in playable])
        for count, (index, verdict) in enumerate(playing, 1):
            self._played[playable[index].name].append(verdict)
            self._keep()
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{count} of {len(playable)} requirements played")

    @property
    def _is_running(self) -> bool:
        return self._first is not None and self._first.mark == "passed"

    def _keep(self) -> None:
        """What is known now stays known, however this ends."""
        self._config.stash[GRADED] = self._graded()
        report = self._config.getoption("--report", None)
        now = time.monotonic()
        if report is not None and now > self._written + PAUSE:
            self._written = now
            with contextlib.suppress(OSError):
                _write_report(self._config)

    def _graded(self) -> card.Graded:
        """The card, as far as it is."""
        found = self._found()
        lines = [(each, found[each.name]) for each in load_all() if each.name in found]
        if self._first is not None and not self._is_running:
            lines = [
                (each, verdict)
                for each, verdict in lines
                if verdict.mark != "not graded"
            ]
            lines.insert(0, (PREFLIGHT, self._first))
        return lines

    def _found(self) -> dict[str, Verdict]:
        """The verdict on each that was chosen, of all its runs."""
        unplayed = Verdict("not graded", "", self._end)
        return {
            name: worst_of(verdicts) if verdicts else unplayed
            for name, verdicts in self._played.items()
        }

    def verdicts(self) -> dict[str, Verdict]:
        """What each test reports.

        The first of those that could not be played says why.
        """
        found = self._found()
        unplayed = [name for name, verdicts in self._played.items() if not verdicts]
        if self._first is not None and not self._is_running:
            skipped = Verdict("not graded", "", "it could not be played: see the card")
            found |= dict.fromkeys(unplayed, skipped)
            found |= dict.fromkeys(unplayed[:1], self._first)
        if FAILURE in self._config.stash:
            failed = Verdict("failed", "the grading to work", self._end)
            found |= dict.fromkeys(unplayed[:1], failed)
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

    failure = config.stash.get(FAILURE, None)
    if failure is not None:
        terminalreporter.write_line(f"the grading itself failed: {failure}")

    if config.getoption("--report", None) is not None:
        try:
            path = _write_report(config)
        except OSError as error:
            terminalreporter.write_line(f"the report could not be written: {error}")
        else:
            terminalreporter.write_line(f"written to {path}")


def _write_report(config: pytest.Config) -> Path:
    """Raises OSError."""
    path: Path = config.invocation_params.dir / config.getoption("--report")
    card.write(path, config.stash[GRADED], config.stash[SOLUTION])
    return path
