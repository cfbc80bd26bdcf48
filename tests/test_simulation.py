"""The simulation, of a few days of the engine as it is.

In an engine that has a fault, it has to find it, whichever it is.
"""

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from tests.helpers import project_root
from tests.simulation import __main__ as command
from tests.simulation.clock import SimulatedLoop
from tests.simulation.day import SeedError, play
from tests.simulation.faults import FAULTS, Fault, OutdatedFaultError
from tests.simulation.journal import InvariantError

# Seeds within which a fault has to be found.
TRIES = 20


def find(fault: Fault) -> str:
    """What the first seed that finds the fault says."""
    for seed in range(TRIES):
        try:
            play(seed, fault)
        except SeedError as broken:
            return str(broken)

    return "not found"


@pytest.mark.slow
def test_the_command_plays_the_same_days_on_every_python_version() -> None:
    arguments = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--seeds",
        "3",
        "--processes",
        "2",
    ]
    run = subprocess.run(
        arguments, cwd=project_root(), capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr.endswith("[##############################] 3/3 days, 0 s left \n")
    assert run.stdout.startswith(
        "3 seeds, as many simulated days: no invariant was broken; "
    )
    assert run.stdout.endswith("fingerprint: 80c96300\n"), (
        "note the new one, where other days were meant"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str) -> None:
    report = find(FAULTS[name])
    assert re.match(r"seed \d+, at [\d:.]+: .+", report), report
    assert f" --fault {name}" in report


def test_a_report_names_the_last_steps_and_the_command_that_shows_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = find(FAULTS["worker-too-many"])
    invariant, *steps, again = report.splitlines()
    assert invariant.endswith("6 tasks are processing, for 5 workers")
    assert steps[-1].endswith("queued -> processing")

    _, _, shown = again.partition("python -m tests.simulation ")
    assert command.main(shown.split()) == 1
    assert capsys.readouterr().out == report + "\n"


def test_a_fault_that_fits_no_longer_says_so() -> None:
    fault = FAULTS["worker-too-many"]._replace(right="no such line")
    with pytest.raises(
        OutdatedFaultError,
        match=r"worker-too-many fits no longer: workers.WorkerPool.run has not",
    ):
        play(0, fault)


def test_an_engine_that_never_rests_is_stopped() -> None:
    def run(step: Callable[[], object]) -> None:
        while True:
            step()

    with contextlib.closing(SimulatedLoop()) as loop:
        with pytest.raises(InvariantError, match="time stands still"):
            run(loop.time)
        with pytest.raises(InvariantError, match="the day does not end"):
            run(partial(loop.jump, 1000.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--seed x", "'x' is no whole number of at least 0"),
        ("--seeds 0", "'0' is no whole number of at least 1"),
        ("--fault nonsense", "invalid choice: 'nonsense'"),
        ("--seed 1 --seeds 2", "goes with neither --seeds nor --first"),
        ("--faults --seed 1", "--faults goes with no other option"),
    ],
)
def test_a_bad_argument_is_told(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
