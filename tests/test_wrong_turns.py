"""The gallery: wrong turns are caught, the honest solution passes.

A wrong turn names the requirements that catch it.
"""

import importlib

import pytest

from tests.conformance.play import CAN_GRADE, NEEDS_POSIX, grade
from tests.conformance.requirement import REQUIREMENTS, Requirement, Verdict, load_all
from tests.conformance.solution import Solution
from tests.helpers import project_root

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN_GRADE, reason=NEEDS_POSIX),
]
PACKAGE = "tests.conformance.wrong_turns"
FOLDER = project_root() / "tests" / "conformance" / "wrong_turns"
TURNS = sorted(
    path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "honest")
)
HONEST = [each for each in load_all() if not each.source]

# By name of the solution and of the requirement.
Verdicts = dict[tuple[str, str], Verdict]


def caught_by(turn: str) -> list[Requirement]:
    module = importlib.import_module(f"{PACKAGE}.{turn}")
    return [REQUIREMENTS[name] for name in module.CAUGHT_BY]


@pytest.fixture(scope="module")
def verdicts() -> Verdicts:
    """All are played together, as many at a time as there are cores."""
    plays = [("honest", requirement) for requirement in HONEST]
    for turn in TURNS:
        plays += [(turn, requirement) for requirement in caught_by(turn)]

    jobs = []
    for name, requirement in plays:
        solution = Solution(app=f"{PACKAGE}.{name}:app", app_dir=str(project_root()))
        jobs.append((solution, requirement))

    found: Verdicts = {}
    for index, verdict in grade(jobs):
        name, requirement = plays[index]
        found[name, requirement.name] = verdict
    return found


@pytest.mark.parametrize("turn", TURNS)
def test_a_wrong_turn_is_caught(turn: str, verdicts: Verdicts) -> None:
    for requirement in caught_by(turn):
        verdict = verdicts[turn, requirement.name]
        expected = "remark" if requirement.open else "failed"
        assert verdict.mark == expected, requirement.name
        assert "Traceback" not in verdict.happened


@pytest.mark.parametrize(
    "requirement", HONEST, ids=lambda requirement: requirement.name
)
def test_the_honest_solution_passes(
    requirement: Requirement, verdicts: Verdicts
) -> None:
    verdict = verdicts["honest", requirement.name]
    assert verdict.mark == "passed", f"expected {verdict.expected}; {verdict.happened}"


@pytest.mark.parametrize("turn", TURNS)
def test_a_wrong_turn_says_what_it_is(turn: str) -> None:
    text = (FOLDER / f"{turn}.py").read_text(encoding="utf-8")
    for word in ("Bug: ", "\nSymptom: ", "\nCure: "):
        assert word in text


def test_the_gallery_is_large_enough() -> None:
    assert len(TURNS) >= 16
