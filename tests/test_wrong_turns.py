"""Each wrong turn of the gallery is caught by the requirements that it
names, and the honest solution passes all.
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
FOLDER = project_root() / "tests" / "conformance" / "wrong_turns"
TURNS = sorted(
    path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "honest")
)
HONEST = [each for each in load_all() if not each.source]


def app(name: str) -> str:
    return f"tests.conformance.wrong_turns.{name}:app"


@pytest.fixture(scope="module")
def verdicts() -> dict[tuple[str, str], Verdict]:
    """By name of the solution and of the requirement; all are played
    together, as many at a time as there are cores.
    """
    named = [(turn, requirement) for turn in TURNS for requirement in caught_by(turn)]
    plays = [("honest", requirement) for requirement in HONEST] + named
    jobs = [
        (Solution(app=app(name), app_dir=str(project_root())), requirement)
        for name, requirement in plays
    ]
    return {
        (plays[index][0], plays[index][1].name): verdict
        for index, verdict in grade(jobs)
    }


def caught_by(turn: str) -> list[Requirement]:
    return [
        REQUIREMENTS[name]
        for name in importlib.import_module(app(turn).partition(":")[0]).CAUGHT_BY
    ]


@pytest.mark.parametrize("turn", TURNS)
def test_a_wrong_turn_is_caught(
    turn: str, verdicts: dict[tuple[str, str], Verdict]
) -> None:
    for requirement in caught_by(turn):
        verdict = verdicts[turn, requirement.name]
        assert verdict.mark == ("remark" if requirement.open else "failed"), (
            requirement.name
        )
        assert "Traceback" not in verdict.happened


@pytest.mark.parametrize(
    "requirement", HONEST, ids=lambda requirement: requirement.name
)
def test_the_honest_solution_passes(
    requirement: Requirement, verdicts: dict[tuple[str, str], Verdict]
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
