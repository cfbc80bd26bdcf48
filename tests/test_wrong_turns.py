"""The gallery: wrong turns are caught, the honest solution passes.

A wrong turn names the requirements that catch it.
"""

import importlib
import os

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
# Of these the whole card is played: the fault is told once, and every
# other line says what it says of the honest solution.
WHOLE = [
    "cancelled_is_no_end",
    "cancelled_queued_never_cleaned",
    "cancelled_work_goes_on",
    "cleanup_by_local_time",
    "content_type_taken_for_granted",
    "delete_is_not_counted",
    "failed_becomes_cancelled",
    "filter_knows_no_ends",
    "full_queue_waits",
    "ids_are_numbers",
    "limit_of_zero_is_none",
    "list_holds_the_lock",
    "list_is_an_empty_text",
    "malformed_id_crashes",
    "timeout_only_while_queued",
    "timeout_starts_anew",
    "unforeseen_error_kills_the_worker",
]
# And of these, where somebody asks for it: it takes two minutes.
WHOLE_AT_LEISURE = [
    "cancelled_has_a_result",
    "cancelled_is_removed_at_once",
    "cancelled_keeps_its_worker",
    "cleanup_by_age",
    "cleanup_every_five_minutes",
    "comma_after_the_last",
    "commas_forgotten",
    "default_is_low",
    "delete_of_finished_is_404",
    "event_shared",
    "four_workers",
    "list_hides_what_is_in_process",
    "newest_first",
    "one_waiter_wakes",
    "queue_too_small",
    "second_cancel_starts_anew",
    "store_of_fifty",
    "unexpected_error_shown",
]
if os.environ.get("WHOLE_GALLERY"):
    WHOLE += WHOLE_AT_LEISURE
# And of these, of which a part is missing, so that many lines cannot be
# graded.
WITHOUT_A_PART = [
    "blocking_sleep",
    "no_limiter",
    "no_list",
    "no_workers",
]
MOST_NOT_GRADED = 3
# How some of them are told, in words that fit the cause.
WORDS = {
    "blocking_sleep": "first at blocking_sleep.py:",
    "cancelled_is_removed_at_once": "was answered 404",
    "cancelled_has_a_result": "it was 'none'",
    "cancelled_keeps_its_worker": "4 are in process, and 10 still queued",
    "cleanup_every_five_minutes": "was answered 200",
    "comma_after_the_last": "the body was '[",
    "commas_forgotten": "the body was '[",
    "content_type_taken_for_granted": "POST /tasks raised KeyError: 'content-type'",
    "delete_is_not_counted": "DELETE /tasks/",
    "failed_becomes_cancelled": "it became 'cancelled'",
    "filter_knows_no_ends": "GET /tasks?status=cancelled was answered 400",
    "four_workers": "4 were",
    "full_queue_waits": "POST /tasks waited for more than 1 s",
    "list_is_an_empty_text": "the body was ''",
    "malformed_id_crashes": "GET /tasks/abc raised ValueError",
    "no_list": "GET /tasks was answered 405",
    "no_workers": "its status was 'queued'",
    "one_waiter_wakes": "one came 7.9 s",
    "queue_too_small": "it came once 99 were, with 5 in process",
    "second_cancel_starts_anew": "it was still there",
    "store_of_fifty": "one was gone",
    "timeout_only_while_queued": "it came after 14.5 s",
}

# By name of the solution and of the requirement.
Verdicts = dict[tuple[str, str], Verdict]


def caught_by(turn: str) -> list[Requirement]:
    module = importlib.import_module(f"{PACKAGE}.{turn}")
    return [REQUIREMENTS[name] for name in module.CAUGHT_BY]


def lines_for(turn: str) -> list[Requirement]:
    """What is played of a wrong turn."""
    return HONEST if turn in WHOLE + WITHOUT_A_PART else caught_by(turn)


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> Verdicts:
    """All are played together, as many at a time as there are cores.

    They are those that a test of this module was chosen for.
    """
    turns = set()
    for item in request.session.items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            turns.add(item.callspec.params.get("turn"))

    plays = [("honest", requirement) for requirement in HONEST]
    for turn in TURNS:
        if turn in turns:
            plays += [(turn, requirement) for requirement in lines_for(turn)]

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
        assert WORDS.get(turn, "") in verdict.happened


def marked(turn: str, verdicts: Verdicts, *marks: str) -> list[str]:
    """The names of the lines that went so."""
    return [
        requirement.name
        for requirement in HONEST
        if verdicts[turn, requirement.name].mark in marks
    ]


@pytest.mark.parametrize("turn", WHOLE)
def test_a_fault_is_told_once(turn: str, verdicts: Verdicts) -> None:
    [line] = caught_by(turn)
    assert marked(turn, verdicts, "failed", "remark") == [line.name]

    not_graded = marked(turn, verdicts, "not graded")
    assert len(not_graded) <= MOST_NOT_GRADED
    for name in not_graded:
        assert verdicts[turn, name].cause == line.name


@pytest.mark.parametrize("turn", WITHOUT_A_PART)
def test_a_part_that_is_missing_is_told_once(turn: str, verdicts: Verdicts) -> None:
    [line] = caught_by(turn)
    assert marked(turn, verdicts, "failed", "remark") == [line.name]

    not_graded = marked(turn, verdicts, "not graded")
    assert not_graded
    for name in not_graded:
        verdict = verdicts[turn, name]
        assert verdict.cause == line.name
        assert f"see the line “{line.text}”" in verdict.happened


# By the missing part, lines that nothing could have failed.
VACUOUS = {
    "blocking_sleep": ("never_more_than_five", "cancel_queued"),
    "no_limiter": ("limiter_forgets", "limit_ends", "too_many_is_json"),
    "no_list": ("invalid_leaves_nothing", "odd_priority_is_no_crash"),
    "no_workers": (
        "never_more_than_five",
        "cancel_lets_no_sixth_in",
        "cancel_queued",
        "stops_with_work_under_way",
        "nothing_runs_after_the_stop",
        "rests_when_idle",
    ),
}


@pytest.mark.parametrize("turn", WITHOUT_A_PART)
def test_what_nothing_could_have_failed_is_not_passed(
    turn: str, verdicts: Verdicts
) -> None:
    for name in VACUOUS[turn]:
        assert verdicts[turn, name].mark == "not graded", name


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
